"""What the pages and the API show of costs: sums of tallies, names beside them, and the entries behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Min, Q, QuerySet, Sum

from billing import counting
from billing.access import Subscribed
from billing.enums import AccountStatus, Kind, Leg, Period
from billing.forecast import LOOKS_BACK_DAYS, forecast
from billing.models import Account, Budget, DayTotal, LedgerEntry, PlanMeter
from billing.naming import Name, names_of
from billing.periods import first_day, next_first_day
from billing.services.reporting import used_in_period
from tenants.models import Tenant

PAGE_SIZE = 50

_SUMS = """
SELECT currency, day, leg, kind, line_id, agent_id, campaign, provider, item, unit,
       grouping(day, leg, kind, line_id, agent_id, campaign, item),
       sum(amount), sum(quantity), sum(entries), sum(unknown)
FROM public.billing_tally WHERE tenant_id = %s AND day >= %s AND day < %s
GROUP BY GROUPING SETS (
  (currency, day), (currency, leg), (currency, kind), (currency, line_id), (currency, agent_id), (currency, campaign),
  (currency, provider, item, unit)
)
"""
# Of the bits of `grouping`, the one that is missing says what a row is about.
_ABOUT = {63: "day", 95: "leg", 111: "kind", 119: "line", 123: "agent", 125: "campaign", 126: "item"}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a report. `unknown` uses have no amount: then the sum is a part of the truth, and says so."""

    key: str
    label: str
    amount: Decimal
    quantity: Decimal
    entries: int
    unknown: int
    unit: str = ""
    url: str = ""
    day: date | None = None


@dataclass(slots=True)
class Report:
    """What a span of days has cost in one currency. `others` are sums in other currencies."""

    first: date
    end: date
    currency: str
    rows: dict[str, list[Row]] = field(default_factory=dict)
    others: dict[str, Decimal] = field(default_factory=dict)
    answered: int | None = None
    booked: int | None = None

    @property
    def total(self) -> Decimal:
        return sum((row.amount for row in self.rows.get("leg", ())), Decimal(0))

    @property
    def unknown(self) -> int:
        return sum(row.unknown for row in self.rows.get("leg", ()))

    @property
    def entries(self) -> int:
        return sum(row.entries for row in self.rows.get("leg", ()))

    @property
    def calls(self) -> Decimal:
        return sum((row.amount for row in self.rows.get("kind", ()) if row.key == Kind.CALL), Decimal(0))

    @property
    def per_answered_call(self) -> Decimal | None:
        return self.calls / self.answered if self.answered else None

    @property
    def per_booking(self) -> Decimal | None:
        return self.total / self.booked if self.booked else None

    @property
    def is_empty(self) -> bool:
        return not self.entries and not self.others


def report(*, tenant: Tenant, first: date, end: date, currency: str) -> Report:
    """Return the costs from a day up to, and without, another: one query over the tallies. Must run inside the tenant."""
    found = Report(first, end, currency, answered=counting.count("answered", first, end))
    found.booked = counting.count("booked", first, end)
    raw: dict[str, list[tuple[Any, ...]]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_SUMS, [tenant.pk, first, end])
        for row in cursor.fetchall():
            if row[0] == currency:
                raw.setdefault(_ABOUT[row[10]], []).append(row)
            elif _ABOUT[row[10]] == "leg" and row[11]:
                found.others[row[0]] = found.others.get(row[0], Decimal(0)) + row[11]
    found.rows = {
        "day": _days(raw.get("day", []), first, end),
        "leg": _named(raw.get("leg", []), 2, dict(Leg.choices)),
        "kind": _named(raw.get("kind", []), 3, dict(Kind.choices)),
        "line": _looked_up("line", raw.get("line", []), 4),
        "agent": _looked_up("agent", raw.get("agent", []), 5),
        "campaign": _looked_up("campaign", raw.get("campaign", []), 6),
        "item": _items(raw.get("item", [])),
    }
    return found


def _days(rows: Sequence[tuple[Any, ...]], first: date, end: date) -> list[Row]:
    known = {row[1]: row for row in rows}
    days = [first + timedelta(days=number) for number in range((end - first).days)]
    return [_row(known.get(day), day.isoformat(), f"{day:%d %b}", day=day) for day in days]


def _named(rows: Sequence[tuple[Any, ...]], column: int, labels: dict[str, Any]) -> list[Row]:
    made = [_row(row, str(row[column]), str(labels.get(row[column], row[column]))) for row in rows]
    return sorted(made, key=lambda row: (-row.amount, row.label))


def _looked_up(kind: str, rows: Sequence[tuple[Any, ...]], column: int) -> list[Row]:
    named = [row for row in rows if row[column] not in (None, "")]
    names = names_of(kind, (row[column] for row in named))
    made = []
    for row in named:
        name = names.get(str(row[column]), Name(f"{kind} {row[column]} (deleted)"))
        made.append(_row(row, str(row[column]), name.text, url=name.url))
    return sorted(made, key=lambda row: (-row.amount, row.label))


def _items(rows: Sequence[tuple[Any, ...]]) -> list[Row]:
    made = [_row(row, f"{row[7]}:{row[8]}:{row[9]}", f"{row[7]} {row[8]}", unit=row[9]) for row in rows]
    return sorted(made, key=lambda row: (-row.amount, row.label))


def _row(
    row: tuple[Any, ...] | None, key: str, label: str, *, unit: str = "", url: str = "", day: date | None = None
) -> Row:
    if row is None:
        return Row(key, label, Decimal(0), Decimal(0), 0, 0, unit, url, day)
    return Row(key, label, row[11], row[12], int(row[13]), int(row[14]), unit, url, day)


def month_report(*, tenant: Tenant, day: date, currency: str) -> Report:
    return report(
        tenant=tenant, first=first_day(Period.MONTH, day), end=next_first_day(Period.MONTH, day), currency=currency
    )


def month_forecast(*, tenant: Tenant, today: date, currency: str) -> Decimal | None:
    rows = DayTotal.objects.filter(tenant=tenant, currency=currency)
    begin = min(first_day(Period.MONTH, today), today - timedelta(days=LOOKS_BACK_DAYS))
    sums = rows.filter(day__gte=begin).values("day").annotate(sum=Sum("amount")).order_by()
    first_use = rows.aggregate(first=Min("day"))["first"]
    return forecast(today=today, by_day={row["day"]: row["sum"] for row in sums}, first_use=first_use)


def currency_of(tenant: Tenant) -> str:
    """Return the currency an organisation's figures are shown in."""
    budget = Budget.objects.filter(tenant=tenant).first()
    return budget.currency if budget is not None else str(settings.ENV.billing_currency)


def cost_of_contact(*, tenant: Tenant, contact_id: int) -> dict[str, tuple[Decimal, int]]:
    """Return what was spent for a contact, and how many uses of unknown cost there were, by currency."""
    rows = LedgerEntry.objects.filter(tenant=tenant, contact_id=contact_id)
    sums = rows.values("currency").annotate(sum=Sum("amount"), missing=Sum("unknown")).order_by()
    return {row["currency"]: (row["sum"] or Decimal(0), row["missing"]) for row in sums}


@dataclass(frozen=True, slots=True)
class PartCost:
    """`amount` is None while a use in it has no price, or none has been written down."""

    currency: str
    amount: Decimal | None


def cost_of_part(*, tenant: Tenant, kind: Kind, subject: str, part: str) -> PartCost:
    """Return what language models cost for one part of a call or message (`agents.llm.metering.as_part`)."""
    theirs = Q(key__startswith=f"llm:{part}:") | Q(corrects__key__startswith=f"llm:{part}:")
    rows = LedgerEntry.objects.filter(theirs, tenant=tenant, kind=kind, subject=subject)
    sums = list(rows.values("currency").annotate(sum=Sum("amount"), missing=Sum("unknown")).order_by())
    if len(sums) != 1 or sums[0]["missing"]:
        return PartCost("", None)
    return PartCost(sums[0]["currency"], sums[0]["sum"])


def entries(*, tenant: Tenant, before: int | None = None, **filters: Any) -> QuerySet[LedgerEntry]:
    """Return the ledger's entries of an organisation, the newest first, from an id on."""
    rows = LedgerEntry.objects.filter(tenant=tenant, **{key: value for key, value in filters.items() if value})
    return (rows.filter(pk__lt=before) if before else rows).order_by("-pk")


def subscribed(account: Account) -> Subscribed:
    return Subscribed(
        status=AccountStatus(account.status),
        trial_ends_at=account.trial_ends_at,
        past_due_since=account.past_due_since,
        grace_days=account.plan.grace_days if account.plan else 0,
        has_subscription=bool(account.subscription_id),
    )


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is included in a plan, and how much of it the running period has used."""

    meter: PlanMeter
    used: Decimal

    @property
    def share(self) -> Decimal:
        return self.used / self.meter.included if self.meter.included else Decimal(0)

    @property
    def beyond(self) -> Decimal:
        return max(Decimal(0), self.used - self.meter.included)

    @property
    def extra(self) -> Decimal:
        """What is charged for it, as the plan says."""
        return self.beyond * self.meter.overage


def allowances(account: Account) -> list[Allowance]:
    if account.plan is None:
        return []
    return [Allowance(meter, used_in_period(account=account, meter=meter)) for meter in account.plan.meters.all()]
