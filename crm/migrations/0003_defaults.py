"""Organisations that were there before contacts get what a new one starts with."""

import json
from pathlib import Path

from django.db import migrations

DEFAULTS = Path(__file__).resolve().parent.parent / "data" / "defaults.json"
TEMPLATE = "tenant_template"  # holds no data: whoever is cloned from it is given their own


def add_defaults(apps, schema_editor):
    if schema_editor.connection.schema_name == TEMPLATE:
        return
    data = json.loads(DEFAULTS.read_text())
    CrmSettings, ContactStatus, ScoreRule = (
        apps.get_model("crm", name) for name in ("CrmSettings", "ContactStatus", "ScoreRule")
    )
    if not CrmSettings.objects.exists():
        CrmSettings.objects.create(**_known(CrmSettings, data["settings"]))
        ScoreRule.objects.bulk_create(
            ScoreRule(position=n, **_known(ScoreRule, rule)) for n, rule in enumerate(data["rules"])
        )
    rows = [ContactStatus(**_known(ContactStatus, status)) for status in data["statuses"]]
    ContactStatus.objects.bulk_create(rows, ignore_conflicts=True)


def _known(model, values):
    """The file is today's; the table is the one of this migration."""
    names = {field.name for field in model._meta.get_fields()}
    return {name: value for name, value in values.items() if name in names}


class Migration(migrations.Migration):
    dependencies = [("crm", "0002_tallies")]
    operations = [migrations.RunPython(add_defaults, migrations.RunPython.noop)]
