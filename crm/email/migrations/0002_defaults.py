"""Organisations that were there before e-mail get what a new one starts with."""

import json
from pathlib import Path

from django.db import migrations

DEFAULTS = Path(__file__).resolve().parent.parent / "data" / "defaults.json"
TEMPLATE = "tenant_template"  # holds no data: whoever is cloned from it is given their own


def add_defaults(apps, schema_editor):
    if schema_editor.connection.schema_name == TEMPLATE:
        return
    data = json.loads(DEFAULTS.read_text())
    EmailSettings, EmailTemplate, EmailTemplateVersion = (
        apps.get_model("crm_email", name) for name in ("EmailSettings", "EmailTemplate", "EmailTemplateVersion")
    )
    if not EmailSettings.objects.exists():
        EmailSettings.objects.create(**_known(EmailSettings, data["settings"]))
    for item in data["templates"]:
        template, is_new = EmailTemplate.objects.get_or_create(key=item["key"], defaults={"name": item["name"]})
        if is_new:
            values = {"subject": item["subject"], "html": "\n".join(item["html"]), "variables": item["variables"]}
            version = EmailTemplateVersion.objects.create(template=template, number=1, **values)
            EmailTemplate.objects.filter(pk=template.pk).update(current=version)


def _known(model, values):
    """The file is today's; the table is the one of this migration."""
    names = {field.name for field in model._meta.get_fields()}
    return {name: value for name, value in values.items() if name in names}


class Migration(migrations.Migration):
    dependencies = [("crm_email", "0001_initial")]
    operations = [migrations.RunPython(add_defaults, migrations.RunPython.noop)]
