"""What every page of an organisation says of money: budgets that are nearly used up, and a subscription that is not in
order. Looked up only when a page shows it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from billing.enums import Level, Period
from billing.models import BudgetAlert
from billing.periods import day_of, first_day
from tenants.models import Tenant


def money(request: HttpRequest) -> dict[str, Any]:
    membership = getattr(request, "membership", None)
    if membership is None or not membership.can_manage:
        return {}
    return {"budget_alert": SimpleLazyObject(lambda: _alert(membership.tenant))}


def _alert(tenant: Tenant) -> BudgetAlert | None:
    """Return the worst alert of the periods that run now; a mere piece of news is not put on every page."""
    today = day_of(timezone.now(), tenant.time_zone)
    current = [first_day(period, today) for period in (Period.DAY, Period.WEEK, Period.MONTH)]
    found = BudgetAlert.objects.filter(tenant=tenant, subject="", begins__in=current, level__gte=Level.WARNING)
    running = [alert for alert in found if alert.begins == first_day(Period(alert.period), today)]
    return max(running, key=lambda alert: alert.level, default=None)
