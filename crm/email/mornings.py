"""When a recipient's morning begins. No database, no clock."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path
from zoneinfo import TZPATH, ZoneInfo

from base.countries import country_code

_UNKNOWN = "Etc/Unknown"


def next_morning(*, day: date, hour: int, zone: ZoneInfo, now: datetime) -> datetime:
    """Return the moment the morning of `day` begins in a zone; of the first later day, if that has begun or passed."""
    today = now.astimezone(zone).date()
    first = max(day, today)
    for later in range(3):
        # By way of UTC: an hour that a change of the clocks leaves out begins when the clocks go on.
        moment = datetime.combine(first + timedelta(days=later), time(hour), zone).astimezone(UTC)
        if moment >= now:
            return moment
    raise AssertionError("a day has no morning")


def zone_of(*, numbers: Iterable[str] = (), country: str = "", at: datetime) -> ZoneInfo | None:
    """Return the time zone of a person with these numbers (E.164), or in this country; None where it is not certain.

    Several zones with the same time at that moment are as good as one.
    """
    for number in numbers:
        if found := _only(_zones_of_number(number), at):
            return found
    return _only(_zones_of_countries().get(country_code(country), ()), at)


def _only(names: tuple[str, ...], at: datetime) -> ZoneInfo | None:
    zones = [ZoneInfo(name) for name in names]
    offsets = {at.astimezone(zone).utcoffset() for zone in zones}
    return zones[0] if len(offsets) == 1 else None


@lru_cache(maxsize=65_536)
def _zones_of_number(number: str) -> tuple[str, ...]:
    import phonenumbers
    from phonenumbers.timezone import time_zones_for_number  # its tables take a moment to load

    try:
        found = time_zones_for_number(phonenumbers.parse(number))
    except phonenumbers.NumberParseException:
        return ()
    return tuple(name for name in found if name != _UNKNOWN)


@lru_cache(maxsize=1)
def _zones_of_countries() -> dict[str, tuple[str, ...]]:
    """Return the zones of each country by its code, as far as the system's table says."""
    folder = next((Path(path) for path in TZPATH if (Path(path) / "zone.tab").is_file()), None)
    if folder is None:
        return {}
    by_code: dict[str, list[str]] = {}
    for code, _, zone, *_ in _rows(folder / "zone.tab"):
        by_code.setdefault(code, []).append(zone)
    return {code: tuple(zones) for code, zones in by_code.items()}


def _rows(path: Path) -> list[list[str]]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [line.split("\t") for line in lines if line and not line.startswith("#")]
