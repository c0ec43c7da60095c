from datetime import UTC, datetime

import pytest

from crm.hooks.backoff import MAX_ATTEMPTS, delay_s, rest_s, retry_after_s

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def test_ten_attempts_take_about_a_day():
    delays = [delay_s(attempt=n, chance=0.5) for n in range(1, MAX_ATTEMPTS)]

    assert delays == [15, 60, 240, 960, 3840, 15360, 21600, 21600, 21600]
    assert 23 * 3600 < sum(delays) < 25 * 3600
    assert delay_s(attempt=MAX_ATTEMPTS, chance=0.5) is None


@pytest.mark.parametrize(("chance", "expected"), [(0.0, 48.0), (0.5, 60.0), (1.0, 72.0)])
def test_jitter_is_a_fifth_either_way(chance, expected):
    assert delay_s(attempt=2, chance=chance) == pytest.approx(expected)


@pytest.mark.parametrize(("asked", "expected"), [(None, 15), (5, 15), (120, 120), (10**9, 6 * 3600)])
def test_what_the_receiver_asks_for_is_honoured_within_reason(asked, expected):
    assert delay_s(attempt=1, chance=0.5, retry_after_s=asked) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("Sun, 01 Mar 2026 12:01:00 GMT", 60),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0),
        ("Sun, 01 Mar 2026 12:01:00 -0000", 60),
        ("9" * 5000, 999999999),
        (None, None),
        ("", None),
        ("-5", None),
        ("soon", None),
        ("²", None),
        ("1.5", None),
    ],
)
def test_retry_after(value, expected):
    assert retry_after_s(value, now=NOW) == expected


@pytest.mark.parametrize(
    ("failures", "duration_s", "expected"),
    [
        (0, 0.2, 0),
        (0, 9.0, 9.0),
        (1, 0.2, 0),
        (2, 10.0, 10.0),
        (3, 0.1, 15),
        (5, 0.1, 60),
        (8, 10.0, 300),
        (10_000, 0, 300),
    ],
)
def test_a_failing_or_slow_receiver_is_left_alone_for_a_while(failures, duration_s, expected):
    assert rest_s(failures=failures, duration_s=duration_s) == expected
