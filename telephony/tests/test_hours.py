from datetime import UTC, datetime

import pytest
from django.core.exceptions import ValidationError

from telephony.hours import check_hours, is_open

WEEK = [{"day": day, "opens": "09:00", "closes": "17:30"} for day in range(5)]
NIGHT = [{"day": 4, "opens": "22:00", "closes": "02:00"}]  # Friday into Saturday


@pytest.mark.parametrize(
    ("hours", "zone", "at", "expected"),
    [
        ([], "UTC", datetime(2026, 11, 22, 3, tzinfo=UTC), True),
        (WEEK, "UTC", datetime(2026, 11, 20, 9, 0, tzinfo=UTC), True),
        (WEEK, "UTC", datetime(2026, 11, 20, 8, 59, tzinfo=UTC), False),
        (WEEK, "UTC", datetime(2026, 11, 20, 17, 30, tzinfo=UTC), False),
        (WEEK, "UTC", datetime(2026, 11, 21, 12, 0, tzinfo=UTC), False),  # a Saturday
        (WEEK, "America/New_York", datetime(2026, 11, 20, 14, 0, tzinfo=UTC), True),  # nine there
        (WEEK, "America/New_York", datetime(2026, 11, 20, 9, 0, tzinfo=UTC), False),
        (WEEK, "Asia/Tokyo", datetime(2026, 11, 22, 23, 30, tzinfo=UTC), False),  # Monday 08:30 there
        (WEEK, "Asia/Tokyo", datetime(2026, 11, 23, 0, 30, tzinfo=UTC), True),
        (NIGHT, "UTC", datetime(2026, 11, 20, 23, 0, tzinfo=UTC), True),
        (NIGHT, "UTC", datetime(2026, 11, 21, 1, 59, tzinfo=UTC), True),
        (NIGHT, "UTC", datetime(2026, 11, 21, 2, 0, tzinfo=UTC), False),
        (NIGHT, "UTC", datetime(2026, 11, 20, 1, 0, tzinfo=UTC), False),
    ],
)
def test_is_open(hours, zone, at, expected):
    assert is_open(hours, zone, at) is expected


@pytest.mark.parametrize(
    "hours",
    [{}, [{}], [{"day": 7, "opens": "09:00", "closes": "10:00"}], [{"day": 1, "opens": "9", "closes": "x"}], ["Monday"]],
)
def test_check_hours_refuses_what_cannot_be_read(hours):
    with pytest.raises(ValidationError):
        check_hours(hours)


def test_check_hours_accepts_a_week():
    check_hours(WEEK + NIGHT)
