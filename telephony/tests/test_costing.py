"""What a call has used, by the carrier's minutes and the agent's seconds."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.enums import Level
from telephony.costing import CallFacts, MinuteCost, StreamSpan, begun_minutes, usages_of
from telephony.spending import Spending, SpendingPlan, Stage, seconds_until

BEGIN = datetime(2026, 11, 20, 12, tzinfo=UTC)
PERCENTS = {Level.INFO: 50, Level.WARNING: 80, Level.CRITICAL: 100, Level.EMERGENCY: 120}


def facts(**values):
    usual = {
        "call_id": "c1",
        "direction": "inbound",
        "engine": "voice_agent",
        "started_at": BEGIN,
        "ended_at": None,
        "duration_s": None,
        "is_measured": False,
        "streams": [],
        "dialled_s": [],
        "recorded_s": [],
    }
    return CallFacts(**{**usual, **values})


def used(call, after_s=0.0):
    return {use.key.removeprefix("call:c1:"): use.quantity for use in usages_of(call, BEGIN + timedelta(seconds=after_s))}


def at(seconds):
    return BEGIN + timedelta(seconds=seconds)


@pytest.mark.parametrize(("seconds", "minutes"), [(0, 0), (1, 1), (59, 1), (60, 1), (61, 2), (119.9, 2), (3600, 60)])
def test_the_carrier_counts_minutes_that_began(seconds, minutes):
    assert begun_minutes(seconds) == minutes


def test_a_whole_call():
    call = facts(
        ended_at=at(130),
        duration_s=130,
        is_measured=True,
        streams=[StreamSpan(1, at(2), at(92))],
        dialled_s=[35],
        recorded_s=[90],
    )

    assert used(call) == {
        "carrier": 3,
        "stream:1": 2,
        "agent:1": Decimal("1.5"),
        "dial:1": 1,
        "recording:1": 2,
    }
    assert {use.source for use in usages_of(call, at(0)) if use.key.endswith("carrier")} == {"carrier"}


def test_while_it_runs_now_is_its_end():
    call = facts(streams=[StreamSpan(1, at(1), None)])

    assert used(call, 31) == {"carrier": 1, "stream:1": 1, "agent:1": Decimal("0.5")}
    assert used(call, 61) == {"carrier": 2, "stream:1": 1, "agent:1": Decimal(1)}


def test_a_stream_whose_worker_was_killed_ends_where_the_next_begins():
    call = facts(ended_at=at(100), duration_s=100, streams=[StreamSpan(1, at(0), None), StreamSpan(2, at(40), at(70))])

    assert used(call)["agent:1"] == Decimal("0.666667")
    assert used(call)["agent:2"] == Decimal("0.5")


def test_the_last_stream_without_an_end_goes_to_the_end_of_the_call():
    assert used(facts(ended_at=at(30), duration_s=30, streams=[StreamSpan(1, at(0), None)]))["agent:1"] == Decimal("0.5")


def test_a_test_call_has_no_carrier():
    call = facts(direction="browser", ended_at=at(60), duration_s=60, streams=[StreamSpan(1, at(0), at(60))])

    assert used(call) == {"agent:1": 1}


def test_a_refused_call_costs_nothing_until_the_carrier_says_so():
    assert used(facts(ended_at=BEGIN)) == {}
    assert used(facts(ended_at=BEGIN, duration_s=4, is_measured=True)) == {"carrier": 1}


# --- how long the money lasts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "begun", "second", "expected"),
    [
        ("0.5", "0", "0.5", 60),
        ("0.25", "0", "0.5", 30),
        ("1", "1", "0", 0),  # the first minute alone
        ("1.5", "1", "0", 60),
        ("2.5", "1", "1", 60),  # the second minute begins: 2 + 1
        ("1.5", "1", "1", 30),
        ("0", "0", "0.5", 0),
    ],
)
def test_when_an_amount_is_reached(amount, begun, second, expected):
    minute = MinuteCost(Decimal(begun), Decimal(second))

    assert seconds_until(Decimal(amount), minute) == pytest.approx(expected)


@pytest.mark.parametrize(
    "minute", [MinuteCost(None, Decimal(1)), MinuteCost(Decimal(1), None), MinuteCost(Decimal(0), Decimal(0))]
)
def test_unknown_rates_and_free_calls_reach_nothing(minute):
    assert seconds_until(Decimal(1), minute) == math.inf


RATES = st.decimals(min_value="0.001", max_value=2, places=4)


@given(RATES, RATES, st.decimals(min_value="0.01", max_value=20, places=2))
def test_just_before_it_costs_less_and_just_after_no_less(begun, second, amount):
    minute = MinuteCost(begun, second)
    after_s = seconds_until(amount, minute)

    if math.isfinite(after_s):
        assert minute.of(after_s + 1) >= amount
        if after_s > 0.01:
            assert minute.of(after_s - 0.01) <= amount


# --- stages ----------------------------------------------------------------------------------------------------------


def plan(**values):
    usual = {
        "minute": MinuteCost(Decimal(0), Decimal("0.60")),
        "per_call": Decimal("1.00"),
        "percents": PERCENTS,
        "never_cuts_off": False,
        "watches": False,
        "wind_down_s": 30,
        "warning_note": "Hurry.",
        "wind_down_note": "End now.",
        "goodbye": "I have to end this call.",
    }
    return SpendingPlan(**{**usual, **values})


def walk(spending, *, until, step=1.0):
    found, now = [], 0.0
    while now <= until:
        if (stage := spending.advance(now)) is not None:
            found.append((now, stage))
        now += step
    return found


def test_a_call_that_becomes_too_dear():
    assert walk(Spending(plan(), started_at=0), until=200) == [
        (80, Stage.WARNED),
        (100, Stage.WINDING_DOWN),
        (120, Stage.ENDING),  # at 120 %, before the thirty seconds are over
    ]


def test_the_time_to_come_to_an_end_is_bounded():
    stages = walk(Spending(plan(percents={**PERCENTS, Level.EMERGENCY: 500}), started_at=0), until=300)

    assert stages[-1] == (130, Stage.ENDING)


def test_a_caller_who_is_never_cut_off_is_only_hurried():
    spending = Spending(plan(never_cuts_off=True), started_at=0)
    spending.told(Level.EMERGENCY)

    assert walk(spending, until=500) == [(0, Stage.WARNED)]
    assert spending.next_at() == math.inf


@pytest.mark.parametrize(
    ("level", "stage"),
    [
        (Level.NONE, None),
        (Level.INFO, None),
        (Level.WARNING, None),  # nobody is hurried because most of a month is used up
        (Level.CRITICAL, Stage.WINDING_DOWN),
        (Level.EMERGENCY, Stage.ENDING),
    ],
)
def test_what_an_organisation_s_budgets_do_to_a_call(level, stage):
    spending = Spending(plan(per_call=None), started_at=0)
    spending.told(level)

    assert spending.advance(1) == stage


def test_a_stage_is_never_left_backwards():
    spending = Spending(plan(per_call=None), started_at=0)
    spending.told(Level.CRITICAL)
    spending.advance(1)
    spending.told(Level.NONE)

    assert spending.advance(2) is None
    assert spending.stage is Stage.WINDING_DOWN


@given(st.lists(st.tuples(st.floats(0, 30), st.sampled_from(list(Level))), max_size=30), st.booleans())
def test_whatever_comes_stages_only_rise(steps, never):
    spending, now, last = Spending(plan(never_cuts_off=never), started_at=0), 0.0, Stage.NONE
    for wait, level in steps:
        now += wait
        spending.told(level)
        stage = spending.advance(now)
        assert stage is None or stage > last
        last = max(last, spending.stage)
        assert spending.next_at() > now or spending.next_at() <= now < math.inf or spending.stage == last
    assert not (never and last > Stage.WARNED)
