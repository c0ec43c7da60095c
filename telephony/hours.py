"""Opening hours: a list of `{"day": 0…6, "opens": "HH:MM", "closes": "HH:MM"}`, Monday first. Empty: always open.

A span that closes at or before it opens runs past midnight into the next day.
"""

from __future__ import annotations

from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError


def check_hours(value: Any) -> None:
    """Raises ValidationError that names the faulty entry."""
    if not isinstance(value, list):
        raise ValidationError("Opening hours are a list.")
    for position, span in enumerate(value, start=1):
        try:
            day, opens, closes = _parse(span)
            if opens.tzinfo or closes.tzinfo:
                raise ValueError("the line has a time zone of its own")
        except (KeyError, TypeError, ValueError):
            raise ValidationError(f"Opening hours, entry {position}: write day, opens and closes.") from None
        if not 0 <= day <= 6:
            raise ValidationError(f"Opening hours, entry {position}: days are 0 (Monday) to 6.")


def _parse(span: dict[str, Any]) -> tuple[int, time, time]:
    return int(span["day"]), time.fromisoformat(span["opens"]), time.fromisoformat(span["closes"])


def is_open(hours: list[dict[str, Any]], time_zone: str, now: datetime) -> bool:
    """Tell whether a line with these hours answers at `now` (aware)."""
    if not hours:
        return True
    local = now.astimezone(ZoneInfo(time_zone))
    at, today, yesterday = local.time(), local.weekday(), (local.weekday() - 1) % 7
    for day, opens, closes in map(_parse, hours):
        overnight = closes <= opens
        if day == today and opens <= at and (overnight or at < closes):
            return True
        if day == yesterday and overnight and at < closes:
            return True
    return False
