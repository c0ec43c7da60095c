"""What every page of an organisation says of money: budgets that are nearly used up, and a subscription that is not in
order. Looked up only when a page shows it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from billing.enums import Level
from billing.models import Budget
from billing.services.budgets import level_for, standings
from tenants.models import Tenant


def money(request: HttpRequest) -> dict[str, Any]:
    membership = getattr(request, "membership", None)
    if membership is None or not membership.can_manage:
        return {}
    return {"budget_alert": SimpleLazyObject(lambda: _alert(membership.tenant))}


def _alert(tenant: Tenant) -> dict[str, Any] | None:
    """Return the limit that is used up furthest, from the warning on, as it is now: a raised limit is no news."""
    budget = Budget.objects.filter(tenant=tenant).first()
    if budget is None or not budget.limits:
        return None
    found = standings(tenant=tenant, budget=budget)
    spent = [(level_for(one.spent, one.limit, budget.percents), one) for one in found]
    level, worst = max(spent, key=lambda pair: (pair[0], pair[1].share))
    return {"level": level, "limit": worst, "currency": budget.currency} if level >= Level.WARNING else None
