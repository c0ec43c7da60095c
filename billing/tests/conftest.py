from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any

import pytest

from billing.enums import Kind, Leg, Source, Unit
from billing.models import Account, Budget, Plan, PlanMeter, Rate
from billing.services import subscribing
from billing.tests.stripe import RETURN, pay, take_news
from billing.usage import Usage
from tenants.models import Tenant

THEN = datetime(2026, 1, 1, tzinfo=UTC)
_numbers = count()


def usage(**values: Any) -> Usage:
    """A minute of the carrier's, unless told otherwise."""
    usual = {
        "key": f"key:{next(_numbers)}",
        "provider": "twilio",
        "item": "voice-inbound",
        "unit": Unit.MINUTE,
        "quantity": Decimal(1),
        "leg": Leg.CARRIER,
        "source": Source.MEASURED,
        "at": datetime(2026, 11, 20, 12, tzinfo=UTC),
        "kind": Kind.CALL,
        "subject": "call-1",
    }
    return Usage(**{**usual, **values})


def meter_minutes(plan: Plan, *, included: int) -> PlanMeter:
    """So many minutes of calls are in a plan, and each one beyond costs twelve cents."""
    return PlanMeter.objects.create(
        plan=plan,
        label="minutes of calls",
        provider="twilio",
        item="voice-inbound",
        unit="minute",
        event_name="call_minutes",
        included=Decimal(included),
        overage=Decimal("0.12"),
    )


@pytest.fixture
def rate(db: None) -> Callable[..., Rate]:
    def make(price: str = "0.0085", **values: Any) -> Rate:
        usual = {"provider": "twilio", "item": "voice-inbound", "unit": "minute", "currency": "USD", "valid_from": THEN}
        return Rate.objects.create(price=Decimal(price), **{**usual, **values})

    return make


@pytest.fixture
def budget(alice: Tenant) -> Callable[..., Budget]:
    def limit(tenant: Tenant = alice, **values: Any) -> Budget:
        Budget.objects.filter(tenant=tenant).update(**values)
        return Budget.objects.get(tenant=tenant)

    return limit


@pytest.fixture
def bank(providers):
    return providers.bank.own


@pytest.fixture
def plan(bank, db) -> Plan:
    made = Plan.objects.create(
        name="Small", slug="small", amount=Decimal(49), currency="USD", trial_days=14, max_users=2, is_default=True
    )
    meter_minutes(made, included=100)
    subscribing.make_prices(plan=made)
    return Plan.objects.get(pk=made.pk)


@pytest.fixture
def bigger(plan) -> Plan:
    made = Plan.objects.create(name="Big", slug="big", amount=Decimal(99), currency="USD")
    subscribing.make_prices(plan=made)
    return Plan.objects.get(pk=made.pk)


@pytest.fixture
def subscribed(alice, owner, providers, bank, plan) -> Account:
    """Alice has subscribed, after the trial of its checkout."""
    url = subscribing.start_checkout(tenant=alice, plan=plan, by=owner, return_url=RETURN)
    assert pay(providers, url).status_code == 303
    take_news(bank)
    return Account.objects.get(tenant=alice)
