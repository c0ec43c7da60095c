"""The carrier's price and the provider's minutes, against the ledger."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from billing.enums import Leg
from billing.models import Drift, Rate
from billing.services.ledger import record_usage
from billing.services.reconciling import FiguresError, fits, reconcile_day
from billing.tests.conftest import THEN, usage
from telephony.models import Call
from telephony.services import metering, reconciling
from telephony.tests.factories import make_finished_call
from telephony.twilio.errors import TelephonyError


@pytest.fixture
def priced(db):
    Rate.objects.create(
        provider="twilio", item="voice-inbound", unit="minute", price=Decimal("0.01"), currency="USD", valid_from=THEN
    )


@pytest.fixture
def call(in_alice, line, priced, providers) -> Call:
    """A call of ninety seconds, over for an hour, that the carrier knows."""
    network = providers.network
    known = providers.do(_place(network))
    ended = timezone.now() - timedelta(hours=1)
    made = make_finished_call(
        line,
        call_sid=known.sid,
        started_at=ended - timedelta(seconds=90),
        ended_at=ended,
        duration_s=90,
        duration_is_measured=True,
    )
    known.duration_s = 90
    metering.meter_call(call_id=str(made.pk))
    return Call.objects.get(pk=made.pk)


class _Known:
    def __init__(self, sid: str) -> None:
        self.sid, self.duration_s, self.status = sid, 90, "completed"
        self.to_number = self.from_number = "+15550100"


async def _place(network):
    known = _Known("CA" + "7" * 32)
    network.calls[known.sid] = known
    return known


def test_a_price_that_fits_is_noted_and_no_more(call, providers):
    providers.network.price_per_minute = Decimal("0.01")

    assert reconciling.reconcile_calls() == 1
    assert not Drift.objects.exists()
    assert reconciling.unreconciled_calls() == []


def test_a_price_that_does_not_fit_is_kept_with_the_rows_behind_it(call, bob, providers):
    providers.network.price_per_minute = Decimal("0.02")

    reconciling.reconcile_calls()

    drift = Drift.objects.get()
    assert (drift.ours, drift.theirs, drift.currency) == (Decimal("0.02"), Decimal("0.04"), "USD")
    assert drift.keys == [f"call:{call.pk}:carrier"]
    assert drift.tenant_id != bob.pk


def test_without_a_price_it_is_asked_again(call, providers):
    assert reconciling.reconcile_calls() == 0
    assert reconciling.unreconciled_calls() == [call]


def test_while_the_carrier_is_away_it_is_asked_again(call, providers):
    providers.sandbox.rest.away = 9
    with pytest.raises(TelephonyError):
        reconciling.reconcile_call(call=call)

    assert reconciling.reconcile_calls() == 0
    assert reconciling.unreconciled_calls() == [call]


def test_calls_are_compared_when_the_carrier_can_know_and_not_for_ever(call):
    for age, expected in ((timedelta(minutes=5), []), (timedelta(days=4), [])):
        Call.objects.update(ended_at=timezone.now() - age)
        assert reconciling.unreconciled_calls() == expected


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [("100", "102", True), ("100", "103", False), ("0", "0", True), ("0", "0.01", False), ("102", "100", True)],
)
def test_the_threshold_is_a_share(settings, ours, theirs, expected):
    assert fits(Decimal(ours), Decimal(theirs)) is expected


def test_the_agent_s_minutes_are_compared_by_day(alice, bob, providers, settings, monkeypatch):
    monkeypatch.setattr(settings.ENV, "deepgram_api_url", providers.url)
    monkeypatch.setattr(settings.ENV, "deepgram_project_id", "p1")
    today = timezone.now().date()
    for tenant in (alice, bob):
        use = usage(provider="deepgram", item="voice-agent", leg=Leg.AGENT, quantity=Decimal(30), at=timezone.now())
        record_usage(tenant=tenant, usages=[use])
    providers.agent.agent_s = 3_600

    assert reconcile_day(day=today) == []

    providers.agent.agent_s = 7_200
    (drift,) = reconcile_day(day=today)
    assert (drift.ours, drift.theirs, len(drift.keys)) == (Decimal(60), Decimal(120), 2)
    reconcile_day(day=today)
    assert Drift.objects.count() == 1


def test_a_provider_that_does_not_say_keeps_nobody_from_the_others(providers, settings, monkeypatch, db):
    monkeypatch.setattr(settings.ENV, "deepgram_api_url", providers.url)
    monkeypatch.setattr(settings.ENV, "deepgram_project_id", "p1")
    monkeypatch.setattr(settings.ENV, "deepgram_api_key", "wrong")

    with pytest.raises(FiguresError):
        reconciling.agent_minutes(timezone.now().date())
    assert reconcile_day(day=timezone.now().date()) == []


def test_without_a_project_nothing_is_asked(settings):
    assert reconciling.agent_minutes(timezone.now().date()) is None
