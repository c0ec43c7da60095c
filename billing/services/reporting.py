"""Use that a plan charges for, on its way to Stripe's meters: each entry of the ledger once, by its key.

    ledger entry ──queue──▶ waiting ──Stripe has it──▶ sent      (a correction downwards takes it back: taken-back)
                               │
                               └──Stripe will not have it──▶ refused

Stripe forgets an identifier after a day. So within a day of the first try everything is simply sent again until there is an
answer; what is still without one after that is not sent blindly but compared with what Stripe has added up.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q, Sum
from django.utils import timezone

from billing.enums import MeterState
from billing.models import Account, Drift, LedgerEntry, MeterEvent, PlanMeter
from billing.stripe.client import StripeClient, StripeError, installation_client

logger = logging.getLogger("billing")

REACHES_BACK = timedelta(days=34)  # Stripe takes thirty-five
IDENTIFIER_KEPT = timedelta(hours=23)
DRAFT_HOUR = timedelta(minutes=50)  # a period's invoice stays a draft for about an hour: its use still counts
CLAIM = timedelta(minutes=2)
AT_ONCE = 200
DUPLICATE = "duplicate_meter_event"
TRIES = 20


def queue_use(*, now: datetime | None = None) -> int:
    """Put the ledger's entries that a subscribed plan charges for on their way; return how many. Safe to repeat."""
    now = now or timezone.now()
    accounts = Account.objects.exclude(subscription_id="").exclude(billed_from=None)
    return sum(_queue(account, meter, now) for account in accounts for meter in _meters(account))


def _meters(account: Account) -> list[PlanMeter]:
    return list(PlanMeter.objects.filter(plan=account.plan_id).exclude(event_name=""))


_QUEUE = """
INSERT INTO public.billing_meterevent
  (entry_id, tenant_id, meter_id, identifier, value, at, state, attempts, problem)
SELECT e.id, e.tenant_id, %(meter)s, e.tenant_id || ':' || e.key, e.quantity, e.at, 'waiting', 0, ''
FROM public.billing_ledgerentry e LEFT JOIN public.billing_meterevent m ON m.entry_id = e.id
WHERE e.tenant_id = %(tenant)s AND e.provider = %(provider)s AND e.item = %(item)s AND e.unit = %(unit)s
  AND e.day >= %(since)s AND e.at >= %(billed_from)s AND e.quantity <> 0 AND m.id IS NULL
ON CONFLICT DO NOTHING
"""


def _queue(account: Account, meter: PlanMeter, now: datetime) -> int:
    assert account.billed_from is not None
    values: dict[str, Any] = {
        "meter": meter.pk,
        "tenant": account.tenant_id,
        "provider": meter.provider,
        "item": meter.item,
        "unit": meter.unit,
        "since": (now - timedelta(days=70)).date(),
        "billed_from": account.billed_from,
    }
    with connection.cursor() as cursor:
        cursor.execute(_QUEUE, values)
        return int(cursor.rowcount)


def reported_at(*, at: datetime, period_begins: datetime | None, now: datetime) -> datetime:
    """Return the time that use is reported with: its own, unless its period has been invoiced or is too long ago.

    Late use then counts in the period that runs: charged a month later, but charged.
    """
    is_invoiced = period_begins is not None and at < period_begins and now > period_begins + DRAFT_HOUR
    return now if is_invoiced or at < now - REACHES_BACK else at


def send_use(*, limit: int = AT_ONCE, now: datetime | None = None) -> int:
    """Report what waits; return how many Stripe has now. Raises StripeError when it cannot be reached."""
    client, now = installation_client(), now or timezone.now()
    sent = 0
    for event in _claim(limit, now):
        sent += _send(event, client, now)
    return sent


def _claim(limit: int, now: datetime) -> Sequence[MeterEvent]:
    with transaction.atomic():
        free = Q(claimed_until=None) | Q(claimed_until__lt=now)
        rows = MeterEvent.objects.select_for_update(skip_locked=True, of=("self",)).filter(free, state=MeterState.WAITING)
        claimed = list(rows.select_related("meter", "tenant__billing_account", "entry").order_by("pk")[:limit])
        pks = [event.pk for event in claimed]
        MeterEvent.objects.filter(pk__in=pks).update(claimed_until=now + CLAIM, attempts=F("attempts") + 1)
        MeterEvent.objects.filter(pk__in=pks, first_tried_at=None).update(first_tried_at=now)
    return claimed


def _send(event: MeterEvent, client: StripeClient, now: datetime) -> bool:
    if event.value < 0:
        return _take_back(event, client, now)
    if event.first_tried_at is not None and now - event.first_tried_at > IDENTIFIER_KEPT:
        return _refuse(event, "No answer within a day: it is to be compared with Stripe's sum.")
    return _report(event, event.value, client, now)


def _report(event: MeterEvent, value: Decimal, client: StripeClient, now: datetime) -> bool:
    account = event.tenant.billing_account
    # Whoever tries again must say the same: the time is fixed by the first try.
    at = event.at if event.first_tried_at else reported_at(at=event.at, period_begins=account.period_begins, now=now)
    MeterEvent.objects.filter(pk=event.pk).update(at=at)
    try:
        client.report_use(
            event_name=event.meter.event_name,
            customer_id=account.customer_id,
            value=f"{value.normalize():f}",
            identifier=event.identifier,
            at=at,
        )
    except StripeError as error:
        if error.code != DUPLICATE:  # a duplicate is there: an earlier try came through
            return _not_sent(event, error)
    done = {"state": MeterState.SENT, "sent_at": now, "claimed_until": None, "problem": "", "value": value}
    return bool(MeterEvent.objects.filter(pk=event.pk, state=MeterState.WAITING).update(**done))


def _take_back(event: MeterEvent, client: StripeClient, now: datetime) -> bool:
    """A correction downwards: Stripe adds up no negative numbers, so the first report goes and the right one comes."""
    first = MeterEvent.objects.filter(entry_id=event.entry.corrects_id).first()
    if first is None or first.state != MeterState.SENT or first.sent_at is None:
        return _refuse(event, "What it corrects was not reported.")
    if now - first.sent_at > IDENTIFIER_KEPT or first.value + event.value < 0:
        return _refuse(event, "It is too late to take the report back: give a credit.")
    try:
        client.take_back_use(event_name=event.meter.event_name, identifier=first.identifier)
    except StripeError as error:
        return _not_sent(event, error)
    MeterEvent.objects.filter(pk=first.pk).update(state=MeterState.TAKEN_BACK)
    event.at = first.at
    return _report(event, first.value + event.value, client, now)


def _not_sent(event: MeterEvent, error: StripeError) -> bool:
    if not error.retryable or event.attempts >= TRIES:
        return _refuse(event, str(error))
    MeterEvent.objects.filter(pk=event.pk).update(claimed_until=None, problem=str(error)[:200])
    raise error  # nobody answers: the rest would find the same


def _refuse(event: MeterEvent, problem: str) -> bool:
    logger.warning("Use was not reported.", extra={"identifier": event.identifier})
    refused = {"state": MeterState.REFUSED, "problem": problem[:200], "claimed_until": None}
    MeterEvent.objects.filter(pk=event.pk, state=MeterState.WAITING).update(**refused)
    return False


@dataclass(frozen=True, slots=True)
class Compared:
    ours: Decimal
    theirs: Decimal
    drift: Drift | None


def compare_use(*, account: Account, meter: PlanMeter, now: datetime | None = None) -> Compared:
    """Compare what we reported in the current period with what Stripe has added up. Raises StripeError.

    Stripe adds up late, so what was sent in the last minutes is left out of doubt: a difference up to it is none.
    """
    now = now or timezone.now()
    assert account.period_begins is not None
    sent = MeterEvent.objects.filter(
        tenant=account.tenant_id, meter=meter, state=MeterState.SENT, at__gte=account.period_begins, at__lte=now
    )
    ours = sent.aggregate(sum=Sum("value"))["sum"] or Decimal(0)
    fresh = sent.filter(sent_at__gt=now - timedelta(minutes=15)).aggregate(sum=Sum("value"))["sum"] or Decimal(0)
    theirs = Decimal(
        installation_client().reported_use(
            meter.meter_id, customer_id=account.customer_id, begin=account.period_begins, end=now
        )
    )
    low, high = ours - fresh, ours
    threshold = ours * settings.ENV.drift_threshold_percent / 100
    if low - threshold <= theirs <= high + threshold:
        return Compared(ours, theirs, None)
    drift, _ = Drift.objects.update_or_create(
        provider="stripe",
        what=f"{account.tenant.schema_name} {meter.event_name} {account.period_begins:%Y-%m-%d}"[:120],
        defaults={
            "tenant_id": account.tenant_id,
            "day": now.date(),
            "ours": ours,
            "theirs": theirs,
            "keys": list(sent.order_by("-value").values_list("entry__key", flat=True)[:200]),
            "found_at": now,
        },
    )
    return Compared(ours, theirs, drift)


def compare_all() -> list[Drift]:
    """Compare every meter of every subscription; return what does not fit. One organisation's trouble is not another's."""
    found = []
    subscribed = Account.objects.exclude(subscription_id="").exclude(period_begins=None).select_related("tenant")
    for account in subscribed:
        for meter in (one for one in _meters(account) if one.meter_id):
            try:
                compared = compare_use(account=account, meter=meter)
            except StripeError:
                logger.warning("A meter could not be compared.", extra={"meter": meter.pk})
                continue
            if compared.drift is not None:
                found.append(compared.drift)
    return found


def used_in_period(*, account: Account, meter: PlanMeter) -> Decimal:
    """Return how much of what a meter counts the ledger has in the current period."""
    rows = LedgerEntry.objects.filter(tenant=account.tenant_id, provider=meter.provider, item=meter.item, unit=meter.unit)
    begin = account.period_begins or account.billed_from
    if begin is not None:
        rows = rows.filter(at__gte=begin, day__gte=(begin - timedelta(days=1)).date())
    return rows.aggregate(sum=Sum("quantity"))["sum"] or Decimal(0)
