"""How many people an organisation may have. Rooms above that know of a limit register it; without any there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenants.models import Tenant

Limit = Callable[["Tenant"], int | None]
_limits: list[Limit] = []


def register(limit: Limit) -> Limit:
    if limit not in _limits:
        _limits.append(limit)
    return limit


def seats_of(tenant: Tenant) -> int | None:
    """Return the lowest limit, None where nobody knows of one."""
    return min((found for limit in _limits if (found := limit(tenant)) is not None), default=None)
