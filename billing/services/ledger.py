"""Writing the ledger: each use once, priced by the rate that held when it happened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from django.conf import settings
from django.db import connection
from django.db.models import Q
from django.utils import timezone

from billing.enums import Source
from billing.models import LedgerEntry, Rate
from billing.periods import day_of
from billing.pricing import Cost, PriceList
from billing.usage import Usage
from tenants.models import Tenant

_COLUMNS = {
    "tenant_id": "bigint",
    "key": "text",
    "at": "timestamptz",
    "day": "date",
    "kind": "text",
    "subject": "text",
    "leg": "text",
    "provider": "text",
    "item": "text",
    "unit": "text",
    "quantity": "numeric",
    "currency": "text",
    "amount": "numeric",
    "rate_id": "bigint",
    "source": "text",
    "line_id": "bigint",
    "agent_id": "bigint",
    "contact_id": "bigint",
    "campaign": "text",
    "corrects_id": "bigint",
    "unknown": "smallint",
    "written_at": "timestamptz",
}
_INSERT = (
    f"INSERT INTO public.billing_ledgerentry ({', '.join(_COLUMNS)}) SELECT * FROM unnest("
    + ", ".join(f"%s::{kind}[]" for kind in _COLUMNS.values())
    + ") ON CONFLICT (tenant_id, key) DO NOTHING RETURNING key"
)


def price_list(items: Iterable[tuple[str, str, str]]) -> PriceList:
    """Return all rates, past ones included, of (provider, item, unit); one query."""
    wanted = Q()
    for provider, item, unit in set(items):
        wanted |= Q(provider=provider, item=item, unit=unit)
    return PriceList(rate.as_price() for rate in Rate.objects.filter(wanted)) if wanted else PriceList(())


def costs_of(usages: Sequence[Usage]) -> list[Cost]:
    prices = price_list((usage.provider, usage.item, usage.unit) for usage in usages)
    return [prices.cost(usage) for usage in usages]


def record_usage(*, tenant: Tenant, usages: Sequence[Usage]) -> set[str]:
    """Write uses to the ledger; return the keys that were not there before. Two queries, however many they are."""
    costs = costs_of(usages)
    return _insert([_row(tenant, cost) for cost in costs])


def _row(tenant: Tenant, cost: Cost) -> LedgerEntry:
    usage = cost.usage
    return LedgerEntry(
        tenant_id=tenant.pk,
        key=usage.key,
        at=usage.at,
        day=day_of(usage.at, tenant.time_zone),
        kind=usage.kind,
        subject=usage.subject,
        leg=usage.leg,
        provider=usage.provider,
        item=usage.item,
        unit=usage.unit,
        quantity=usage.quantity,
        currency=cost.price.currency if cost.price else settings.ENV.billing_currency,
        amount=cost.amount,
        rate_id=cost.price.rate_id if cost.price else None,
        source=usage.source,
        line_id=usage.line_id,
        agent_id=usage.agent_id,
        contact_id=usage.contact_id,
        campaign=usage.campaign,
        unknown=int(cost.amount is None),
    )


def _insert(entries: Sequence[LedgerEntry]) -> set[str]:
    if not entries:
        return set()
    columns = [[getattr(entry, name) for entry in entries] for name in _COLUMNS]
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, columns)
        return {row[0] for row in cursor.fetchall()}


def correct(*, entry: LedgerEntry, key: str, quantity: Decimal, amount: Decimal | None, unknown: int = 0) -> bool:
    """Add what an entry was wrong by, as an entry of its own; return whether it is new. The first one stays as it is."""
    row = LedgerEntry(
        **{name: getattr(entry, name) for name in _COLUMNS if name not in ("written_at",)}
        | {"key": key, "quantity": quantity, "amount": amount, "corrects_id": entry.pk, "unknown": unknown},
    )
    row.source = Source.CORRECTION
    row.written_at = timezone.now()
    return bool(_insert([row]))


def price_unknown(*, provider: str, item: str, limit: int = 5_000) -> int:
    """Price uses that had no rate when they happened and have one now; return how many. Safe to repeat."""
    priced = LedgerEntry.objects.filter(corrects__isnull=False, unknown=-1).values("corrects")
    waiting = LedgerEntry.objects.filter(provider=provider, item=item, unknown=1, quantity__isnull=False)
    count = 0
    entries = list(waiting.exclude(pk__in=priced)[:limit])
    prices = price_list((entry.provider, entry.item, entry.unit) for entry in entries)
    for entry in entries:
        cost = prices.cost(_usage(entry))
        if cost.amount is not None and cost.price is not None:
            entry.rate_id, entry.currency = cost.price.rate_id, cost.price.currency
            count += correct(entry=entry, key=f"price:{entry.pk}", quantity=Decimal(0), amount=cost.amount, unknown=-1)
    return count


def _usage(entry: LedgerEntry) -> Usage:
    return Usage(
        key=entry.key,
        provider=entry.provider,
        item=entry.item,
        unit=entry.unit,  # type: ignore[arg-type]
        quantity=entry.quantity,
        leg=entry.leg,  # type: ignore[arg-type]
        source=entry.source,  # type: ignore[arg-type]
        at=entry.at,
        kind=entry.kind,  # type: ignore[arg-type]
    )
