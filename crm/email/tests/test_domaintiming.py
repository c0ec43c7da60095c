from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from crm.email.domaintiming import WAITS_FOR, is_lost, next_try, pause_after

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_the_pauses_grow_to_an_hour():
    assert [pause_after(checks) // timedelta(minutes=1) for checks in range(9)] == [1, 2, 5, 10, 20, 40, 60, 60, 60]


def test_a_domain_is_looked_at_until_the_very_end():
    now, checks, until = NOW, 0, NOW + WAITS_FOR
    looks = []
    while (now := next_try(now=now, checks=checks, until=until)) is not None:
        looks.append(now)
        checks += 1

    assert looks[:3] == [NOW + timedelta(minutes=minutes) for minutes in (1, 3, 8)]
    assert looks[-1] == until
    assert len(looks) == 77
    assert looks == sorted(set(looks))


@pytest.mark.parametrize(("asked_for_s", "minutes"), [(None, 1), (30, 1), (600, 10), (10**9, 60)])
def test_what_the_provider_asks_for_is_honoured_up_to_an_hour(asked_for_s, minutes):
    at = next_try(now=NOW, checks=0, until=NOW + WAITS_FOR, retry_after_s=asked_for_s)

    assert at == NOW + timedelta(minutes=minutes)


def test_nothing_is_tried_after_the_end_or_without_one():
    assert next_try(now=NOW, checks=0, until=NOW) is None
    assert next_try(now=NOW, checks=0, until=None) is None


@pytest.mark.parametrize(
    ("failures", "minutes", "lost"), [(1, 90, False), (3, 90, False), (4, 59, False), (4, 60, True), (9, 10, False)]
)
def test_lost_is_several_times_over_an_hour(failures, minutes, lost):
    since = NOW - timedelta(minutes=minutes)
    assert is_lost(failures=failures, failing_since=since, now=NOW) is lost
