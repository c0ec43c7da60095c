from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from crm.email.mornings import next_morning, zone_of

DAY = date(2026, 11, 20)
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "now", "expected"),
    [
        ("UTC", "2026-11-19T22:00", "2026-11-20T08:00"),
        ("UTC", "2026-11-20T08:00", "2026-11-20T08:00"),
        ("UTC", "2026-11-20T08:01", "2026-11-21T08:00"),  # past: the next day
        ("America/New_York", "2026-11-20T12:00", "2026-11-20T13:00"),  # 8:00 there is 13:00 here
        ("Asia/Tokyo", "2026-11-20T12:00", "2026-11-20T23:00"),  # there it is the 20th's evening: the 21st at 8:00
        ("Pacific/Auckland", "2026-11-19T10:00", "2026-11-19T19:00"),  # the 20th begins earlier there
        ("Pacific/Honolulu", "2026-11-20T02:00", "2026-11-20T18:00"),  # and later there
        ("UTC", "2026-11-25T12:00", "2026-11-26T08:00"),  # resumed days later
    ],
)
def test_when_a_morning_begins(zone, now, expected):
    now = datetime.fromisoformat(now).replace(tzinfo=UTC)

    moment = next_morning(day=DAY, hour=8, zone=ZoneInfo(zone), now=now)

    assert moment == datetime.fromisoformat(expected).replace(tzinfo=UTC)


def test_a_morning_when_the_clocks_change():
    zone = ZoneInfo("Europe/Berlin")
    now = datetime(2026, 3, 28, 20, tzinfo=UTC)

    moment = next_morning(day=date(2026, 3, 29), hour=8, zone=zone, now=now)

    assert (moment, moment.astimezone(zone).hour) == (datetime(2026, 3, 29, 6, tzinfo=UTC), 8)


@pytest.mark.parametrize(
    ("numbers", "country", "expected"),
    [
        (["+4930123456"], "", "Europe/Berlin"),
        (["+12125550100"], "", "America/New_York"),
        (["+13105550100"], "Germany", "America/Los_Angeles"),  # a number says more than a country
        (["+18005550100"], "", None),  # rings anywhere in North America
        (["+18005550100", "+442079460000"], "", "Europe/London"),
        (["nonsense", ""], "", None),
        ([], "DE", "Europe/Berlin"),
        ([], " germany ", "Europe/Berlin"),
        ([], "Japan", "Asia/Tokyo"),
        ([], "United Kingdom", "Europe/London"),
        ([], "U.K.", "Europe/London"),
        ([], "Vereinigtes Königreich", "Europe/London"),
        ([], "DEU", "Europe/Berlin"),
        ([], "日本", "Asia/Tokyo"),
        ([], "US", None),
        ([], "Atlantis", None),
        ([], "", None),
    ],
)
def test_whose_morning_it_is(numbers, country, expected):
    zone = zone_of(numbers=numbers, country=country, at=NOON)

    if expected is None:
        assert zone is None
    else:
        assert zone is not None
        assert NOON.astimezone(zone).utcoffset() == NOON.astimezone(ZoneInfo(expected)).utcoffset()
