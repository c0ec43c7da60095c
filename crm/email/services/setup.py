"""What a new organisation starts with."""

from __future__ import annotations

import json
from pathlib import Path

from crm.email.models import EmailSettings, EmailTemplate, EmailTemplateVersion

_DEFAULTS = Path(__file__).resolve().parent.parent / "data" / "defaults.json"


def create_defaults() -> None:
    """Write the entered tenant's settings and first templates. Safe to repeat: what is there stays."""
    data = json.loads(_DEFAULTS.read_text())
    if not EmailSettings.objects.exists():
        EmailSettings.objects.create(**data["settings"])
    for item in data["templates"]:
        _add_template(**item)


def _add_template(*, key: str, name: str, subject: str, html: list[str], variables: list[str]) -> None:
    template, is_new = EmailTemplate.objects.get_or_create(key=key, defaults={"name": name})
    if is_new:
        version = EmailTemplateVersion.objects.create(
            template=template, number=1, subject=subject, html="\n".join(html), variables=variables
        )
        EmailTemplate.objects.filter(pk=template.pk).update(current=version)
