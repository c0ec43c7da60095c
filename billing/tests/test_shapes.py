"""What a subscription costs, read out of Stripe's objects."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.stripe.shapes import read_subscription


def item(quantity: int | None = 1, *, interval: str = "month", count: int = 1, currency: str = "usd", **price: Any):
    recurring = {"interval": interval, "interval_count": count, "usage_type": "licensed"}
    price = {"id": "price_1", "currency": currency, "recurring": recurring, "unit_amount": 1000} | price
    return {"id": "si_1", "price": price} | ({} if quantity is None else {"quantity": quantity})


METERED = {"recurring": {"interval": "month", "usage_type": "metered"}, "unit_amount": 7, "currency": "usd"}
TIERED = {"unit_amount": None, "billing_scheme": "tiered"}


def read(*items: Any, **more: Any):
    return read_subscription({"id": "sub_1", "items": {"data": list(items)}} | more)


@pytest.mark.parametrize(
    ("items", "amount", "interval", "count"),
    [
        ([item(5)], 5000, "month", 1),
        ([item(1, unit_amount=3000, count=3)], 3000, "month", 3),
        ([item(None)], 1000, "month", 1),
        ([item(0)], 0, "month", 1),
        ([item(2), item(3, unit_amount=100)], 2300, "month", 1),
        ([item(1), {"id": "si_2", "price": METERED}], 1000, "month", 1),
        ([item(3, unit_amount=None, unit_amount_decimal="0.5")], 2, "month", 1),
        ([item(1, unit_amount=None, unit_amount_decimal="1234.5")], 1235, "month", 1),
        ([item(11, transform_quantity={"divide_by": 5, "round": "up"})], 3000, "month", 1),
        ([item(11, transform_quantity={"divide_by": 5, "round": "down"})], 2000, "month", 1),
        ([item(1, **TIERED)], None, "month", 1),
        ([item(1), item(1, interval="year")], None, "month", 1),
        ([item(1), item(1, currency="eur")], None, "month", 1),
        ([{"id": "si_2", "price": METERED}], None, "month", 1),
        ([], None, "", 1),
    ],
)
def test_what_a_subscription_costs(items, amount, interval, count):
    shape = read(*items)

    assert (shape.amount_minor, shape.interval, shape.interval_count) == (amount, interval, count)


def test_a_discount_is_named_wherever_it_stands():
    assert not read(item()).is_discounted
    assert read(item(), discounts=["di_1"]).is_discounted
    assert read(item() | {"discounts": ["di_1"]}).is_discounted


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 10**7)), min_size=1, max_size=8))
def test_the_amount_is_the_sum_of_its_items(lines):
    shape = read(*(item(quantity, unit_amount=amount) for quantity, amount in lines))

    assert shape.amount_minor == sum(quantity * amount for quantity, amount in lines)
