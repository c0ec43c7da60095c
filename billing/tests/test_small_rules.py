"""Forecasts, estimates, shapes of Stripe's objects, and the mail that goes out about budgets."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.enums import Unit
from billing.forecast import forecast
from billing.models import Budget
from billing.services.estimating import estimate
from billing.services.ledger import record_usage
from billing.stripe.shapes import customer_in, read_invoice, read_subscription
from billing.tests.conftest import usage
from sandbox.stripe.forms import parse

TODAY = date(2026, 11, 20)


def spent(days: int, amount: str = "3") -> dict[date, Decimal]:
    return {TODAY - timedelta(days=number): Decimal(amount) for number in range(days)}


def test_without_any_use_there_is_no_forecast():
    assert forecast(today=TODAY, by_day={}, first_use=None) is None


def test_two_days_are_too_few():
    assert forecast(today=TODAY, by_day=spent(3), first_use=TODAY - timedelta(days=2)) is None


def test_an_even_month_ends_evenly():
    assert forecast(today=TODAY, by_day=spent(60), first_use=TODAY - timedelta(days=59)) == Decimal("90.00")


def test_weekends_count_as_weekends():
    by_day = {day: amount for day, amount in spent(60).items() if day.weekday() < 5}

    found = forecast(today=TODAY, by_day=by_day, first_use=TODAY - timedelta(days=59))

    assert found == Decimal("63.00")  # twenty-one working days


@given(st.integers(3, 60), st.decimals(min_value=0, max_value=100, places=2))
def test_a_forecast_is_never_less_than_what_was_spent(days, amount):
    by_day = spent(days, str(amount))
    found = forecast(today=TODAY, by_day=by_day, first_use=min(by_day))

    if found is not None:
        assert found >= sum(value for day, value in by_day.items() if day.month == 11)


# --- estimates -------------------------------------------------------------------------------------------------------


def mails(tenant, count: int):
    return estimate(tenant=tenant, provider="sendgrid", item="email", unit=Unit.MESSAGE, quantity=count)


def test_what_many_e_mails_would_cost(alice, bob, rate):
    rate("0.001", provider="sendgrid", item="email", unit="message")
    Budget.objects.filter(tenant=alice).update(monthly=Decimal(10))

    assert mails(alice, 5_000).amount == Decimal(5) and not mails(alice, 5_000).exceeds
    too_many = mails(alice, 10_001)
    assert too_many.exceeds and "$10.00 is left" in too_many.objection and "$10.00" in too_many.objection
    assert not mails(bob, 10_001).exceeds and mails(bob, 1).left is None


def test_what_costs_nobody_knows_how_much_needs_something_left(alice, rate):
    rate("1")
    Budget.objects.filter(tenant=alice).update(daily=Decimal(10))
    assert mails(alice, 5_000).amount is None and not mails(alice, 5_000).objection

    record_usage(tenant=alice, usages=[usage(quantity=Decimal(10), at=datetime.now(UTC))])

    assert mails(alice, 1).objection.startswith("It goes beyond the budget")


# --- shapes ----------------------------------------------------------------------------------------------------------


def test_a_subscription_s_period_is_its_first_item_s():
    found = read_subscription(
        {
            "id": "sub_1",
            "customer": {"id": "cus_1"},
            "status": "active",
            "cancel_at_period_end": True,
            "items": {
                "data": [
                    {"id": "si_2", "price": {"id": "price_m", "recurring": {"usage_type": "metered"}}},
                    {
                        "id": "si_1",
                        "current_period_start": 1_795_000_000,
                        "current_period_end": 1_797_600_000,
                        "price": {
                            "id": "price_1",
                            "currency": "usd",
                            "unit_amount": 4900,
                            "recurring": {"interval": "month"},
                        },
                    },
                ]
            },
        }
    )

    assert (found.customer_id, found.currency, found.interval, found.amount_minor) == ("cus_1", "USD", "month", 4900)
    assert found.price_ids == ("price_m", "price_1") and found.item_ids == {"price_m": "si_2", "price_1": "si_1"}
    assert found.ends == found.cancels_at == datetime.fromtimestamp(1_797_600_000, UTC)


@pytest.mark.parametrize("body", [{"id": "sub_1"}, {"id": "sub_1", "items": None}, {"id": "sub_1", "items": {"data": []}}])
def test_what_is_absent_is_none(body):
    found = read_subscription(body)

    assert found.begins is None and found.price_ids == () and found.cancels_at is None


def test_an_invoice_s_period_is_that_of_its_lines():
    lines = {"data": [{"period": {"start": 200, "end": 300}}, {"period": {"start": 100, "end": 250}}]}
    found = read_invoice(
        {"id": "in_1", "period_start": 1, "period_end": 2, "lines": lines, "hosted_invoice_url": "javascript:x"}
    )

    assert (found.begins.timestamp(), found.ends.timestamp()) == (100, 300)
    assert found.page_url == "" and found.paid_at is None


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        ({"object": "customer", "id": "cus_1"}, "cus_1"),
        ({"object": "invoice", "customer": "cus_1"}, "cus_1"),
        ({"object": "invoice", "customer": {"id": "cus_1"}}, "cus_1"),
        ({"object": "price"}, ""),
        ({}, ""),
    ],
)
def test_whom_an_event_is_about(about, expected):
    assert customer_in(about) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("a=1&b[c]=2", {"a": "1", "b": {"c": "2"}}),
        ("items[0][price]=p&items[1][price]=q", {"items": [{"price": "p"}, {"price": "q"}]}),
        ("expand[]=x&expand[]=y", {"expand": ["x", "y"]}),
        ("a[b][c]=%5B1%5D", {"a": {"b": {"c": "[1]"}}}),
        ("", {}),
    ],
)
def test_the_vendor_s_form_encoding(body, expected):
    assert parse(body) == expected
