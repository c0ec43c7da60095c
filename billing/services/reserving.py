"""Setting money aside for a call before it begins, so that calls that begin at once cannot spend the same money twice."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import connection
from django.utils import timezone

from billing.enums import Period
from billing.models import Budget, Reservation
from billing.periods import day_of, first_day
from tenants.models import Tenant

_RESERVE = "SELECT made, share_left FROM public.billing_reserve(%s, %s, %s, %s, %s, %s, %s, %s)"  # billing/admission.py
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
    now = now or timezone.now()
    today = day_of(now, tenant.time_zone)
    periods = today, first_day(Period.WEEK, today), first_day(Period.MONTH, today)
    with connection.cursor() as cursor:
        cursor.execute(_RESERVE, [budget.pk, subject, amount or LEAST, *periods, now, not connection.in_atomic_block])
        row = cursor.fetchone()
    assert row is not None
    return Admission(*row)


def grow(*, tenant: Tenant, subject: str, amount: Decimal) -> bool:
    """Set more aside for a call that has become dearer than expected; return whether it had a reservation."""
    same = Reservation.objects.filter(tenant=tenant, subject=subject)
    return bool(same.filter(amount__lt=amount).update(amount=amount) or same.exists())


def release(*, tenant: Tenant, subject: str) -> None:
    """Safe to repeat."""
    Reservation.objects.filter(tenant=tenant, subject=subject).delete()
