"""An agent's instructions for one organisation: its prompt with the names filled in. Must run inside the tenant."""

from __future__ import annotations

from collections.abc import Mapping
from zoneinfo import ZoneInfo

from django.utils import timezone

from agents.briefs import Brief
from agents.composing import Composed, compose
from agents.organisation.models import agent_settings
from tenants.models import Tenant


def values_for(tenant: Tenant, brief: Brief | None = None, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what stands for the names in braces: ours, then the organisation's, then `more`; later ones win."""
    today = timezone.now().astimezone(ZoneInfo(tenant.time_zone))
    ours = {"organisation": tenant.name, "today": f"{today:%A}, {today.day} {today:%B %Y}"}
    if brief is not None:
        ours["agent_name"] = brief.name
    return {**ours, **agent_settings().variables, **(more or {})}


def instructions_for(tenant: Tenant, brief: Brief, *, after: tuple[str, ...] = ()) -> Composed:
    return compose([brief.prompt, *after], values_for(tenant, brief))
