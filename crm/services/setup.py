"""What a new tenant starts with, and what it may change about its contacts' fields."""

from __future__ import annotations

import json
from pathlib import Path

from crm.models import ContactStatus, CrmSettings, ScoreRule

_DEFAULTS = Path(__file__).resolve().parent.parent / "data" / "defaults.json"


def create_defaults() -> None:
    """Write the entered tenant's settings, statuses and score rules. Safe to repeat: what is there stays."""
    data = json.loads(_DEFAULTS.read_text())
    if not CrmSettings.objects.exists():
        CrmSettings.objects.create(**data["settings"])
        ScoreRule.objects.bulk_create(ScoreRule(position=n, **rule) for n, rule in enumerate(data["rules"]))
    ContactStatus.objects.bulk_create((ContactStatus(**status) for status in data["statuses"]), ignore_conflicts=True)
