"""What something large would cost, before it is begun, and whether the budget has that much left."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from django.utils import timezone

from billing.enums import Unit
from billing.models import Budget
from billing.money import price_of, shown
from billing.services.budgets import standings
from billing.services.ledger import price_list
from tenants.models import Tenant


@dataclass(frozen=True, slots=True)
class Estimate:
    """`amount` is None where no rate is known, `left` where nothing is limited."""

    amount: Decimal | None
    left: Decimal | None
    currency: str

    @property
    def exceeds(self) -> bool:
        """Tell whether it goes beyond what is left; what costs nobody knows how much needs something left."""
        if self.left is None:
            return False
        return self.left <= 0 if self.amount is None else self.amount > self.left

    @property
    def objection(self) -> str:
        """Return why it cannot be begun, with what to do; "" when it can."""
        if not self.exceeds or self.left is None:
            return ""
        cost = "It" if self.amount is None else f"It would cost about {shown(self.amount, self.currency)}, and it"
        return f"{cost} goes beyond the budget: {shown(self.left, self.currency)} is left. Raise the limit under Billing."


def estimate(*, tenant: Tenant, provider: str, item: str, unit: Unit, quantity: int) -> Estimate:
    budget = Budget.objects.filter(tenant=tenant).first()
    now = timezone.now()
    price = price_list([(provider, item, unit)]).find(provider, item, unit, now)
    found = standings(tenant=tenant, budget=budget) if budget is not None else []
    left = min((one.left for one in found), default=None)
    currency = budget.currency if budget is not None else ""
    if price is None or (currency and price.currency != currency):
        return Estimate(None, left, currency)
    amount = price_of(quantity=Decimal(quantity), price=price.price, per=price.per)
    return Estimate(amount, left, price.currency)
