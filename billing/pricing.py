"""Which rate a use falls under, and what it costs by it. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from billing.money import price_of
from billing.usage import Usage


@dataclass(frozen=True, slots=True)
class Price:
    """A rate: `price` of `currency` for every `per` units, from a moment until another, or until further notice."""

    rate_id: int
    provider: str
    item: str
    unit: str
    price: Decimal
    per: int
    currency: str
    valid_from: datetime
    valid_to: datetime | None

    def holds_at(self, at: datetime) -> bool:
        return self.valid_from <= at and (self.valid_to is None or at < self.valid_to)


@dataclass(frozen=True, slots=True)
class Cost:
    """Unknown without a rate or a quantity: then `amount` is None."""

    usage: Usage
    price: Price | None
    amount: Decimal | None


class PriceList:
    def __init__(self, prices: Iterable[Price]) -> None:
        self._prices: dict[tuple[str, str, str], list[Price]] = {}
        for price in prices:
            self._prices.setdefault((price.provider, price.item, price.unit), []).append(price)

    def find(self, provider: str, item: str, unit: str, at: datetime) -> Price | None:
        """Return the rate that held then. Of two that overlap, the one that began later."""
        valid = [price for price in self._prices.get((provider, item, unit), ()) if price.holds_at(at)]
        return max(valid, key=lambda price: price.valid_from, default=None)

    def cost(self, usage: Usage) -> Cost:
        price = self.find(usage.provider, usage.item, usage.unit, usage.at)
        if price is None or usage.quantity is None:
            return Cost(usage, price, None)
        return Cost(usage, price, price_of(quantity=usage.quantity, price=price.price, per=price.per))


def total(costs: Sequence[Cost], currency: str) -> Decimal | None:
    """Return the sum in one currency; None as soon as one of them is unknown."""
    amounts = [cost.amount for cost in costs if cost.price is None or cost.price.currency == currency]
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if len(known) == len(amounts) else None
