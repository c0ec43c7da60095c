"""Days, weeks and months of an organisation, in its own time zone."""

from __future__ import annotations

import calendar
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from billing.enums import Period


def day_of(at: datetime, zone: str) -> date:
    return at.astimezone(ZoneInfo(zone)).date()


def first_day(period: Period, day: date) -> date:
    """Return the first day of the period that a day is in; weeks begin on Monday."""
    if period == Period.WEEK:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if period == Period.MONTH else day


def next_first_day(period: Period, day: date) -> date:
    begin = first_day(period, day)
    if period == Period.WEEK:
        return begin + timedelta(days=7)
    if period == Period.MONTH:
        return begin + timedelta(days=calendar.monthrange(begin.year, begin.month)[1])
    return begin + timedelta(days=1)
