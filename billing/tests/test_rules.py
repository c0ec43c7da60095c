"""The pure parts: periods, levels, tiers, who may take calls."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.access import Gate, Subscribed, access_of
from billing.enums import AccountStatus, Level, Period
from billing.periods import day_of, first_day, next_first_day
from billing.services.budgets import level_for
from billing.tiers import Tier, TierRules, choose_tier

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
PERCENTS = {Level.INFO: 50, Level.WARNING: 80, Level.CRITICAL: 100, Level.EMERGENCY: 120}


@pytest.mark.parametrize(
    ("period", "begins", "ends"),
    [
        (Period.DAY, date(2026, 11, 20), date(2026, 11, 21)),
        (Period.WEEK, date(2026, 11, 16), date(2026, 11, 23)),
        (Period.MONTH, date(2026, 11, 1), date(2026, 12, 1)),
    ],
)
def test_where_a_period_begins_and_ends(period, begins, ends):
    assert first_day(period, NOW.date()) == begins
    assert next_first_day(period, NOW.date()) == ends


@given(st.dates(date(2020, 1, 1), date(2040, 1, 1)), st.sampled_from([Period.DAY, Period.WEEK, Period.MONTH]))
def test_every_day_is_in_exactly_one_period(day, period):
    begins, after = first_day(period, day), next_first_day(period, day)

    assert begins <= day < after
    assert first_day(period, after) == after
    assert first_day(period, after - timedelta(days=1)) == begins


@pytest.mark.parametrize(
    ("zone", "expected"), [("UTC", 20), ("Pacific/Kiritimati", 21), ("Pacific/Pago_Pago", 20), ("Asia/Kolkata", 20)]
)
def test_a_day_by_zone(zone, expected):
    assert day_of(NOW, zone).day == expected


@pytest.mark.parametrize(
    ("spent", "limit", "expected"),
    [
        ("0", "10", Level.NONE),
        ("4.99", "10", Level.NONE),
        ("5", "10", Level.INFO),
        ("7.9999", "10", Level.INFO),
        ("8", "10", Level.WARNING),
        ("10", "10", Level.CRITICAL),
        ("12", "10", Level.EMERGENCY),
        ("0", "0", Level.CRITICAL),
        ("0.01", "0", Level.EMERGENCY),
        ("-1", "10", Level.NONE),
    ],
)
def test_levels(spent, limit, expected):
    assert level_for(Decimal(spent), Decimal(limit), PERCENTS) == expected


BOTH = TierRules(premium_from_score=70, economy_below_percent=20)


@pytest.mark.parametrize(
    ("rules", "score", "left", "expected"),
    [
        (TierRules(), 100, "1", Tier.STANDARD),
        (BOTH, None, None, Tier.STANDARD),
        (BOTH, 69, "1", Tier.STANDARD),
        (BOTH, 70, "1", Tier.PREMIUM),
        (BOTH, 70, None, Tier.PREMIUM),
        (BOTH, 70, "0.2", Tier.PREMIUM),
        (BOTH, 100, "0.19", Tier.ECONOMY),  # the budget outweighs the caller
        (BOTH, None, "0", Tier.ECONOMY),
        (TierRules(premium_from_score=0), 0, "0", Tier.PREMIUM),
        (TierRules(economy_below_percent=20), 100, "0.5", Tier.STANDARD),
    ],
)
def test_tiers(rules, score, left, expected):
    choice = choose_tier(rules=rules, score=score, share_left=None if left is None else Decimal(left))

    assert choice.tier is expected
    assert choice.reason


@pytest.mark.parametrize(
    ("account", "gate"),
    [
        (None, Gate.OPEN),
        (Subscribed(AccountStatus.NONE), Gate.CLOSED),
        (Subscribed(AccountStatus.ACTIVE), Gate.OPEN),
        (Subscribed(AccountStatus.TRIALING, NOW + timedelta(days=1)), Gate.OPEN),
        (Subscribed(AccountStatus.TRIALING, NOW - timedelta(days=1)), Gate.CLOSED),
        (Subscribed(AccountStatus.TRIALING, NOW - timedelta(days=1), has_subscription=True), Gate.OPEN),
        (Subscribed(AccountStatus.PAST_DUE, past_due_since=NOW - timedelta(days=6), grace_days=7), Gate.GRACE),
        (Subscribed(AccountStatus.PAST_DUE, past_due_since=NOW - timedelta(days=7), grace_days=7), Gate.CLOSED),
        (Subscribed(AccountStatus.PAST_DUE, past_due_since=None, grace_days=7), Gate.GRACE),
        (Subscribed(AccountStatus.UNPAID), Gate.CLOSED),
        (Subscribed(AccountStatus.CANCELED), Gate.CLOSED),
        (Subscribed(AccountStatus.INCOMPLETE), Gate.CLOSED),
        (Subscribed(AccountStatus.INCOMPLETE_EXPIRED), Gate.CLOSED),
        (Subscribed(AccountStatus.PAUSED), Gate.CLOSED),
    ],
)
def test_who_may_take_calls(account, gate):
    assert access_of(account, NOW).gate is gate
