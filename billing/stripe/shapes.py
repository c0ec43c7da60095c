"""What we read out of Stripe's objects, in the shapes of 2026-10-28 (endive). Pure; what is absent is None or ""."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any


def moment(seconds: Any) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(seconds), UTC) if seconds else None
    except (ValueError, OverflowError, OSError, TypeError):
        return None


@dataclass(frozen=True, slots=True)
class SubscriptionShape:
    id: str
    customer_id: str
    status: str
    price_ids: tuple[str, ...]
    item_ids: Mapping[str, str]  # by price
    begins: datetime | None
    ends: datetime | None
    started: datetime | None
    trial_end: datetime | None
    cancels_at: datetime | None
    metadata: Mapping[str, str]
    amount_minor: int | None  # of all licensed items for one interval, before discounts and tax
    currency: str
    interval: str
    interval_count: int
    is_discounted: bool


def read_subscription(found: Mapping[str, Any]) -> SubscriptionShape:
    """Periods belong to items; the first licensed one's is the subscription's."""
    items = (found.get("items") or {}).get("data") or []
    priced = [(item, item.get("price") or {}) for item in items]
    licensed = [item for item, price in priced if (price.get("recurring") or {}).get("usage_type") != "metered"]
    first = (licensed or items or [{}])[0]
    price = first.get("price") or {}
    cancels = found.get("cancel_at") or (first.get("current_period_end") if found.get("cancel_at_period_end") else None)
    return SubscriptionShape(
        id=str(found["id"]),
        customer_id=_id(found.get("customer")),
        status=str(found.get("status") or ""),
        price_ids=tuple(str(price.get("id", "")) for _, price in priced),
        item_ids={str(price.get("id", "")): str(item["id"]) for item, price in priced},
        begins=moment(first.get("current_period_start")),
        ends=moment(first.get("current_period_end")),
        started=moment(found.get("start_date") or found.get("created")),
        trial_end=moment(found.get("trial_end")),
        cancels_at=moment(cancels),
        metadata=found.get("metadata") or {},
        amount_minor=_amount(licensed or items),
        currency=str(price.get("currency") or found.get("currency") or "").upper(),
        interval=str((price.get("recurring") or {}).get("interval") or ""),
        interval_count=_count((price.get("recurring") or {}).get("interval_count"), 1),
        is_discounted=bool(found.get("discounts") or found.get("discount") or any(item.get("discounts") for item in items)),
    )


def _amount(items: Sequence[Mapping[str, Any]]) -> int | None:
    """Return what these items cost together for one interval, or None where that cannot be told.

    Prices in tiers have no price of a unit, and items of different intervals or currencies have no sum.
    """
    total = 0
    terms = set()
    for item in items:
        price = item.get("price") or {}
        recurring = price.get("recurring") or {}
        terms.add((price.get("currency"), recurring.get("interval"), _count(recurring.get("interval_count"), 1)))
        unit = price.get("unit_amount_decimal")
        unit = price.get("unit_amount") if unit is None else unit
        if unit is None or recurring.get("usage_type") == "metered":
            return None
        quantity = _count(item.get("quantity"), 1)
        packs = price.get("transform_quantity") or {}
        if packs.get("divide_by"):
            up = packs.get("round") == "up"
            quantity = -(-quantity // int(packs["divide_by"])) if up else quantity // int(packs["divide_by"])
        try:
            total += int((Decimal(str(unit)) * quantity).quantize(Decimal(1), ROUND_HALF_UP))
        except (ArithmeticError, ValueError):
            return None
    return total if items and len(terms) == 1 else None


def _count(value: Any, default: int) -> int:
    """Return a whole number that may be 0; `default` where there is none."""
    return int(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else default


@dataclass(frozen=True, slots=True)
class InvoiceShape:
    id: str
    customer_id: str
    number: str
    status: str
    currency: str
    total_minor: int
    paid_minor: int
    due_minor: int
    created: datetime | None
    due_on: datetime | None
    begins: datetime | None
    ends: datetime | None
    paid_at: datetime | None
    page_url: str
    pdf_url: str


def read_invoice(found: Mapping[str, Any]) -> InvoiceShape:
    """`period_*` of an invoice is the period before, where use is charged afterwards: the lines have the right ones."""
    spans = [line.get("period") or {} for line in (found.get("lines") or {}).get("data") or []]
    begins = min((span["start"] for span in spans if span.get("start")), default=found.get("period_start"))
    ends = max((span["end"] for span in spans if span.get("end")), default=found.get("period_end"))
    return InvoiceShape(
        id=str(found["id"]),
        customer_id=_id(found.get("customer")),
        number=str(found.get("number") or ""),
        status=str(found.get("status") or ""),
        currency=str(found.get("currency") or "").upper(),
        total_minor=int(found.get("total") or 0),
        paid_minor=int(found.get("amount_paid") or 0),
        due_minor=int(found.get("amount_remaining") or 0),
        created=moment(found.get("created")),
        due_on=moment(found.get("due_date")),
        begins=moment(begins),
        ends=moment(ends),
        paid_at=moment((found.get("status_transitions") or {}).get("paid_at")),
        page_url=_link(found.get("hosted_invoice_url")),
        pdf_url=_link(found.get("invoice_pdf")),
    )


def _id(value: Any) -> str:
    """Objects come as their id, or whole when they were asked for whole."""
    return str(value.get("id", "")) if isinstance(value, Mapping) else str(value or "")


def _link(value: Any) -> str:
    text = str(value or "")
    return text if text.startswith(("https://", "http://")) else ""


def customer_in(about: Mapping[str, Any]) -> str:
    """Return the customer an event's object belongs to, or ""."""
    if about.get("object") == "customer":
        return str(about.get("id", ""))
    return _id(about.get("customer"))
