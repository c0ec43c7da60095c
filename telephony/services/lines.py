"""Lines: their defaults, and one for every number."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from agents.models import Agent
from agents.selectors import visible_agents
from telephony.models import Line
from tenants.models import PhoneNumber, Tenant

_DEFAULTS = Path(__file__).resolve().parent.parent / "data" / "line_defaults.json"
# Of a number's own line; everything else is copied from the default one.
_OWN = frozenset({"id", "name", "phone_number", "is_default", "updated_at"})


@lru_cache(maxsize=1)
def line_defaults() -> dict[str, Any]:
    return dict(json.loads(_DEFAULTS.read_text()))


def create_default_line(*, tenant: Tenant) -> Line:
    """Write the sentences and limits a new organisation starts with, as rows it can edit."""
    line, _ = Line.objects.get_or_create(is_default=True, defaults={**line_defaults(), "time_zone": tenant.time_zone})
    return line


def ensure_line(*, number: PhoneNumber) -> Line:
    """Return the number's line, copied from the default one when it is new. Must run inside the tenant."""
    pattern = Line.objects.get(is_default=True)
    copied = {field.name: getattr(pattern, field.name) for field in Line._meta.concrete_fields if field.name not in _OWN}
    line, _ = Line.objects.get_or_create(phone_number=number.number, defaults={**copied, "name": number.number})
    return line


def agents_for_lines(tenant: Tenant) -> list[Agent]:
    """Return the agents that may answer an organisation's lines."""
    return [agent for agent in visible_agents(tenant) if agent.is_active and agent.published and not agent.is_moderator]
