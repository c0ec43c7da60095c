"""How far budgets are used up, and telling it once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import Q, Sum
from django.utils import timezone

from billing.enums import Level, Period
from billing.models import Budget, BudgetAlert, DayTotal, Reservation
from billing.periods import day_of, first_day
from billing.signals import budget_reached
from tenants.celery import publish
from tenants.context import entered
from tenants.models import Tenant


@dataclass(frozen=True, slots=True)
class Standing:
    """One limit in its current period. `held` is set aside for calls that run."""

    period: Period
    begins: date
    limit: Decimal
    spent: Decimal
    held: Decimal
    level: Level

    @property
    def share(self) -> Decimal:
        return (self.spent + self.held) / self.limit if self.limit else Decimal(1)

    @property
    def left(self) -> Decimal:
        return max(Decimal(0), self.limit - self.spent - self.held)


def level_for(spent: Decimal, limit: Decimal, percents: Mapping[Level, int]) -> Level:
    """Return the highest level that is reached. A limit of nothing is used up by anything, and reached by nothing."""
    if spent <= 0:
        return Level.CRITICAL if limit <= 0 else Level.NONE
    reached = [level for level, percent in percents.items() if spent * 100 >= limit * percent]
    return max(reached, default=Level.NONE)


def standings(*, tenant: Tenant, budget: Budget | None = None, now: datetime | None = None) -> list[Standing]:
    """Return where each limit of an organisation stands; empty without any."""
    budget = budget or Budget.objects.filter(tenant=tenant).first()
    if budget is None or not budget.limits:
        return []
    today = day_of(now or timezone.now(), tenant.time_zone)
    begins = {period: first_day(period, today) for period in budget.limits}
    rows = DayTotal.objects.filter(tenant=tenant, currency=budget.currency, day__gte=min(begins.values()))
    # Not named by the period alone: a sum called “day” would be taken for the column.
    sums = rows.aggregate(**{f"of_{period}": Sum("amount", filter=Q(day__gte=day)) for period, day in begins.items()})
    held = _held(tenant, budget.currency)
    found = []
    for period, limit in budget.limits.items():
        spent = sums[f"of_{period}"] or Decimal(0)
        level = level_for(spent + held, limit, budget.percents)
        found.append(Standing(period, begins[period], limit, spent, held, level))
    return found


def _held(tenant: Tenant, currency: str) -> Decimal:
    rows = Reservation.objects.filter(tenant=tenant, currency=currency)
    return rows.aggregate(sum=Sum("amount"))["sum"] or Decimal(0)


def highest(found: list[Standing]) -> Level:
    return max((one.level for one in found), default=Level.NONE)


def tell_levels(*, tenant: Tenant, now: datetime | None = None) -> list[BudgetAlert]:
    """Note and tell the highest level that each period has newly reached; return those alerts. Safe to ask at any time.

    A level that was passed on the way (a new limit, one dear call) is not told as well: one message says it all.
    """
    budget = Budget.objects.filter(tenant=tenant).first()
    if budget is None:
        return []
    new = []
    for one in standings(tenant=tenant, budget=budget, now=now):
        # What is set aside is not spent yet: only what the ledger says is told.
        reached = level_for(one.spent, one.limit, budget.percents)
        told = BudgetAlert.objects.filter(
            tenant=tenant, period=one.period, begins=one.begins, subject="", level__gte=reached
        )
        if reached > Level.NONE and not told.exists():
            new += _note(tenant, budget, one.period, one.begins, "", reached, one.spent, one.limit)
    return new


def tell_call(*, tenant: Tenant, subject: str, spent: Decimal, day: date) -> list[BudgetAlert]:
    """The same for what one call cost."""
    budget = Budget.objects.filter(tenant=tenant).first()
    if budget is None or budget.per_call is None:
        return []
    reached = level_for(spent, budget.per_call, budget.percents)
    if reached < Level.CRITICAL:  # a call that stays within its limit is nobody's concern
        return []
    return _note(tenant, budget, Period.CALL, day, subject, reached, spent, budget.per_call)


def _note(
    tenant: Tenant,
    budget: Budget,
    period: Period,
    begins: date,
    subject: str,
    level: Level,
    spent: Decimal,
    limit: Decimal,
) -> list[BudgetAlert]:
    from billing.tasks import mail_alert

    with transaction.atomic():
        alert, is_new = BudgetAlert.objects.get_or_create(
            tenant=tenant,
            period=period,
            begins=begins,
            subject=subject,
            level=level,
            defaults={"spent": spent, "limit": limit, "currency": budget.currency},
        )
        if not is_new:
            return []
        with entered(tenant):
            budget_reached.send(sender=BudgetAlert, alert=alert)
            transaction.on_commit(lambda: publish(mail_alert, alert_id=alert.pk))
    return [alert]
