"""One tokenizer for every script finds contacts, and parts of numbers, addresses and streets do.

The table is written again once, as a generated column is. The parts are made by `crm.services.reindexing`, piece by piece.
"""

import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.contrib.postgres.search
from django.db import migrations, models

from crm.searchwords import WordsVector, install_sql


def install(apps, schema_editor):
    schema_editor.execute(install_sql(), params=None)


def _array(size):
    return django.contrib.postgres.fields.ArrayField(
        base_field=models.CharField(max_length=size), default=list, editable=False, size=None
    )


class Migration(migrations.Migration):
    dependencies = [("crm", "0004_tasks_without_contact")]
    operations = [
        migrations.RunPython(install, migrations.RunPython.noop),
        migrations.RemoveIndex("contact", "contact_search"),
        migrations.RemoveField("contact", "search"),
        migrations.AddField(
            "contact",
            "search",
            models.GeneratedField(
                db_persist=True,
                expression=WordsVector(
                    "contact_name", "business_name", "contact_role", "city", "postal_code", "website", "notes"
                ),
                output_field=django.contrib.postgres.search.SearchVectorField(),
            ),
        ),
        migrations.AddField("contact", "email_parts", _array(16)),
        migrations.AddField("contact", "address_parts", _array(16)),
        migrations.AddField(
            "contact", "parts_version", models.PositiveSmallIntegerField(default=0, editable=False), preserve_default=False
        ),
        migrations.AlterField("contact", "parts_version", models.PositiveSmallIntegerField(default=1, editable=False)),
        migrations.AddIndex(
            "contact", django.contrib.postgres.indexes.GinIndex(fields=["search"], name="contact_search")
        ),
        migrations.AddIndex(
            "contact", django.contrib.postgres.indexes.GinIndex(fields=["email_parts"], name="contact_email_parts")
        ),
        migrations.AddIndex(
            "contact", django.contrib.postgres.indexes.GinIndex(fields=["address_parts"], name="contact_address_parts")
        ),
        migrations.AddIndex(
            "contact",
            models.Index(condition=models.Q(("parts_version", 0)), fields=["id"], name="contact_old_parts"),
        ),
    ]
