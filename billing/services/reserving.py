"""Setting money aside for a call before it begins, so that calls that begin at once cannot spend the same money twice.

Two queries. The first locks the organisation's budget, so that admissions of one organisation follow one another; the
second adds up what is spent and set aside, and writes the reservation only where it fits, all in one statement.

Its commit does not wait for the disk: the call's own row is written after it, and the log is written in order, so a call
that outlives a crash of the database has its reservation.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import connection, transaction
from django.utils import timezone

from billing.enums import Period
from billing.models import Budget, Reservation
from billing.periods import day_of, first_day
from tenants.models import Tenant

_RESERVE = """
WITH spent AS (
  SELECT coalesce(sum(amount) FILTER (WHERE day >= %(day)s), 0) AS day,
         coalesce(sum(amount) FILTER (WHERE day >= %(week)s), 0) AS week,
         coalesce(sum(amount) FILTER (WHERE day >= %(month)s), 0) AS month
  FROM public.billing_tally
  WHERE tenant_id = %(tenant)s AND currency = %(currency)s AND day >= least(%(week)s, %(month)s)
), held AS (
  SELECT coalesce(sum(amount), 0) AS amount FROM public.billing_reservation
  WHERE tenant_id = %(tenant)s AND currency = %(currency)s AND subject <> %(subject)s
), made AS (
  INSERT INTO public.billing_reservation (tenant_id, subject, amount, currency, created_at)
  SELECT %(tenant)s, %(subject)s, %(amount)s, %(currency)s, %(now)s FROM spent, held
  WHERE spent.day + held.amount + %(amount)s <= coalesce(%(daily)s::numeric, 'Infinity')
    AND spent.week + held.amount + %(amount)s <= coalesce(%(weekly)s::numeric, 'Infinity')
    AND spent.month + held.amount + %(amount)s <= coalesce(%(monthly)s::numeric, 'Infinity')
  ON CONFLICT (tenant_id, subject) DO UPDATE SET amount = EXCLUDED.amount RETURNING 1
)
SELECT (SELECT count(*) FROM made), spent.day, spent.week, spent.month, held.amount,
       set_config('synchronous_commit', 'off', true)
FROM spent, held
"""
# Nothing set aside still needs a budget with something left.
LEAST = Decimal("0.00000001")


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether a call may begin, and what is left of the tightest budget as a share (None: there is none)."""

    admitted: bool
    share_left: Decimal | None = None


FREE = Admission(admitted=True)


def reserve(
    *, tenant: Tenant, budget: Budget | None, subject: str, amount: Decimal | None, now: datetime | None = None
) -> Admission:
    """Set `amount` aside for a call where every limit allows it. An unknown amount needs a budget that is not used up.

    `budget` is what was read before: without limits nothing is asked. Repeated for the same subject, the later amount
    takes the place of the earlier.
    """
    if budget is None or not budget.limits:
        return FREE
    with transaction.atomic(durable=True):
        locked = Budget.objects.select_for_update().get(pk=budget.pk)
        return _reserve(tenant, locked, subject, amount or Decimal(0), now or timezone.now())


def _reserve(tenant: Tenant, budget: Budget, subject: str, amount: Decimal, now: datetime) -> Admission:
    today = day_of(now, tenant.time_zone)
    with connection.cursor() as cursor:
        cursor.execute(
            _RESERVE,
            {
                "tenant": tenant.pk,
                "subject": subject,
                "amount": amount or LEAST,
                "currency": budget.currency,
                "day": today,
                "week": first_day(Period.WEEK, today),
                "month": first_day(Period.MONTH, today),
                "daily": budget.daily,
                "weekly": budget.weekly,
                "monthly": budget.monthly,
                "now": now,
            },
        )
        row = cursor.fetchone()
    assert row is not None
    made, *spent, held, _ = row
    used = dict(zip((Period.DAY, Period.WEEK, Period.MONTH), spent, strict=True))
    left = [
        max(Decimal(0), 1 - (used[period] + held) / limit) if limit else Decimal(0)
        for period, limit in budget.limits.items()
    ]
    return Admission(bool(made), min(left, default=None))


def grow(*, tenant: Tenant, subject: str, amount: Decimal) -> bool:
    """Set more aside for a call that has become dearer than expected; return whether it had a reservation."""
    same = Reservation.objects.filter(tenant=tenant, subject=subject)
    return bool(same.filter(amount__lt=amount).update(amount=amount) or same.exists())


def release(*, tenant: Tenant, subject: str) -> None:
    """Safe to repeat."""
    Reservation.objects.filter(tenant=tenant, subject=subject).delete()
