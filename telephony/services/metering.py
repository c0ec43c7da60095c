"""From a call's rows to the ledger: what it used, once, and what is corrected when the carrier knows better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from billing.enums import Kind, Leg
from billing.models import LedgerEntry, Reservation
from billing.pricing import Cost
from billing.selectors import currency_of
from billing.services.budgets import tell_call, tell_levels
from billing.services.ledger import correct, costs_of, price_list, record_usage
from billing.services.reserving import release
from telephony.costing import CallFacts, StreamSpan, usages_of
from telephony.enums import EventKind
from telephony.models import Call
from tenants.context import current_tenant
from tenants.models import Tenant

SEQUENCES_PER_STREAM = 1_000_000
LATE = timedelta(seconds=20)
UNMEASURED = timedelta(minutes=2)  # how long the carrier's own length is waited for
AT_ONCE = 200
ORPHANED = timedelta(minutes=5)


def facts_of(call: Call) -> CallFacts:
    """Gather what a call's cost is reckoned from; three queries. Must run inside the tenant."""
    dialled: list[int] = []
    begun: dict[int, datetime] = {}
    ended: dict[int, datetime] = {}
    kinds = [EventKind.STREAM_STARTED, EventKind.STREAM_ENDED, EventKind.TRANSFER]
    for event in call.events.filter(kind__in=kinds):
        number = event.sequence // SEQUENCES_PER_STREAM
        if event.kind == EventKind.STREAM_STARTED:
            begun.setdefault(number, event.at)
        elif event.kind == EventKind.STREAM_ENDED:
            ended[number] = event.at
        elif (seconds := (event.detail or {}).get("duration_s")) is not None:
            dialled.append(int(seconds))
    streams = [StreamSpan(number, at, ended.get(number)) for number, at in sorted(begun.items())]
    recorded = call.recordings.filter(duration_s__isnull=False).order_by("pk").values_list("duration_s", flat=True)
    return CallFacts(
        call_id=str(call.pk),
        direction=call.direction,
        engine=call.engine,
        started_at=call.started_at,
        ended_at=call.ended_at,
        duration_s=call.duration_s,
        is_measured=call.duration_is_measured,
        streams=streams,
        dialled_s=dialled,
        recorded_s=[seconds for seconds in recorded if seconds is not None],
        line_id=call.line_id,
        agent_id=call.agent_id,
        contact_id=call.contact_id,
    )


def meter_call(*, call_id: str, now: datetime | None = None) -> bool:
    """Write what a finished call used; return whether anything is new. Safe to repeat: later figures are corrections.

    Must run inside the tenant. The money that was set aside is given back in the same transaction.
    """
    now = now or timezone.now()
    tenant = current_tenant()
    call = Call.objects.get(pk=call_id)
    if call.is_open:
        return False
    usages = usages_of(facts_of(call), now)
    with transaction.atomic():
        new = record_usage(tenant=tenant, usages=usages)
        changed = _correct(tenant, [usage for usage in costs_of(usages) if usage.usage.key not in new])
        Call.objects.filter(pk=call.pk).update(metered_at=now)
        release(tenant=tenant, subject=call.call_sid)
    if new or changed:
        tell_levels(tenant=tenant)
        tell_call(tenant=tenant, subject=str(call.pk), spent=_spent(tenant, call), day=now.date())
    return bool(new or changed)


def _spent(tenant: Tenant, call: Call) -> Decimal:
    same = LedgerEntry.objects.filter(tenant=tenant, kind=Kind.CALL, subject=str(call.pk))
    return same.aggregate(sum=Sum("amount"))["sum"] or Decimal(0)


def _correct(tenant: Tenant, known: Sequence[Cost]) -> int:
    """Where what is in the ledger is not what is known now, add the difference."""
    count = 0
    for cost in known:
        entry = LedgerEntry.objects.filter(tenant=tenant, key=cost.usage.key).first()
        if entry is None or entry.quantity is None or cost.usage.quantity is None:
            continue
        done = entry.corrections.filter(unknown=0).aggregate(quantity=Sum("quantity"), amount=Sum("amount"))
        quantity = cost.usage.quantity - entry.quantity - (done["quantity"] or 0)
        if not quantity:
            continue
        price = price_list([(entry.provider, entry.item, entry.unit)]).find(
            entry.provider, entry.item, entry.unit, entry.at
        )
        amount = None if price is None else (quantity * price.price / price.per).quantize(Decimal("0.00000001"))
        key = f"{entry.key}:is:{cost.usage.quantity.normalize():f}"
        count += correct(entry=entry, key=key[:120], quantity=quantity, amount=amount)
    return count


@dataclass(frozen=True, slots=True)
class CallCost:
    """A call's cost by leg; `amount` of a leg, and `total`, are None while a part of it is unknown."""

    currency: str
    legs: list[LegCost]
    is_final: bool

    @property
    def total(self) -> Decimal | None:
        amounts = [leg.amount for leg in self.legs]
        return None if None in amounts else sum((amount for amount in amounts if amount is not None), Decimal(0))

    @property
    def known(self) -> Decimal:
        return sum((leg.amount for leg in self.legs if leg.amount is not None), Decimal(0))

    @property
    def has_unknown(self) -> bool:
        return any(leg.amount is None for leg in self.legs)


@dataclass(slots=True)
class LegCost:
    leg: Leg
    parts: list[CostPart] = field(default_factory=list)

    @property
    def amount(self) -> Decimal | None:
        amounts = [part.amount for part in self.parts]
        return None if None in amounts else sum((amount for amount in amounts if amount is not None), Decimal(0))


@dataclass(frozen=True, slots=True)
class CostPart:
    provider: str
    item: str
    unit: str
    quantity: Decimal | None
    amount: Decimal | None
    source: str


def cost_of_call(*, call: Call, tenant: Tenant, currency: str, now: datetime | None = None) -> CallCost:
    """Return what a call has cost so far. What is in the ledger counts; the rest is reckoned by the same rules.

    A part in another currency is shown by its quantity, and its amount counts as unknown here. Must run in the tenant.
    """
    entries = LedgerEntry.objects.filter(tenant=tenant, kind=Kind.CALL, subject=str(call.pk)).order_by("id")
    parts = [_written(entry, currency) for entry in entries if not _prices_another(entry)]
    amounts = {entry.corrects_id: entry.amount for entry in entries if _prices_another(entry)}
    priced = {entry.pk: index for index, entry in enumerate(one for one in entries if not _prices_another(one))}
    for pk, amount in amounts.items():
        if pk in priced:
            leg, part = parts[priced[pk]]
            parts[priced[pk]] = (leg, CostPart(part.provider, part.item, part.unit, part.quantity, amount, part.source))
    if call.metered_at is None:
        running = costs_of(usages_of(facts_of(call), now or timezone.now()))
        parts += [_reckoned(cost, currency) for cost in running]
    legs: dict[str, LegCost] = {}
    for leg, part in parts:
        legs.setdefault(leg, LegCost(Leg(leg))).parts.append(part)
    return CallCost(currency, list(legs.values()), is_final=call.metered_at is not None)


def call_cost(call: Call, tenant: Tenant) -> CallCost:
    """The same in the currency of the organisation's budget."""
    return cost_of_call(call=call, tenant=tenant, currency=currency_of(tenant))


def _prices_another(entry: LedgerEntry) -> bool:
    return entry.corrects_id is not None and entry.unknown == -1


def _written(entry: LedgerEntry, currency: str) -> tuple[str, CostPart]:
    amount = entry.amount if entry.currency == currency else None
    part = CostPart(entry.provider, entry.item, entry.unit, entry.quantity, amount, entry.get_source_display())
    return entry.leg, part


def _reckoned(cost: Cost, currency: str) -> tuple[str, CostPart]:
    usage = cost.usage
    amount = cost.amount if cost.price is not None and cost.price.currency == currency else None
    part = CostPart(usage.provider, usage.item, usage.unit, usage.quantity, amount, usage.source.label)
    return usage.leg, part


def release_orphans(*, now: datetime | None = None) -> int:
    """Give back what was set aside for calls that are over, or never came to be; return how many."""
    old = Reservation.objects.filter(tenant=current_tenant(), created_at__lt=(now or timezone.now()) - ORPHANED)
    subjects = list(old.values_list("subject", flat=True))
    alive = Call.objects.filter(call_sid__in=subjects, metered_at=None).values_list("call_sid", flat=True)
    orphans = set(subjects) - set(alive)
    return old.filter(subject__in=orphans).delete()[0] if orphans else 0


def unmetered_calls(*, now: datetime | None = None) -> list[str]:
    """Return finished calls that are not in the ledger yet: their task was lost, or the carrier's length is late."""
    now = now or timezone.now()
    waiting = Call.objects.filter(metered_at=None, ended_at__lt=now - LATE).order_by("ended_at")
    ready = waiting.filter(duration_is_measured=True) | waiting.filter(ended_at__lt=now - UNMEASURED)
    return [str(pk) for pk in ready.values_list("pk", flat=True)[:AT_ONCE]]
