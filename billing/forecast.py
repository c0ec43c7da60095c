"""What a month will have cost at its end. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal

from billing.enums import Period
from billing.periods import first_day, next_first_day

LOOKS_BACK_DAYS = 28
NEEDS_DAYS = 3  # complete days, before anything is said


def forecast(*, today: date, by_day: Mapping[date, Decimal], first_use: date | None) -> Decimal | None:
    """Return the month's sum, expected from the days before; None while there are too few.

    Each day to come counts as the mean of the same weekdays of the last four weeks, or as the mean of all those days where
    that weekday has not been seen. `by_day` has the days with any cost; `first_use` is the first there ever was.
    """
    if first_use is None:
        return None
    begin = max(first_use, today - timedelta(days=LOOKS_BACK_DAYS))
    past = [begin + timedelta(days=number) for number in range((today - begin).days)]
    if len(past) < NEEDS_DAYS:
        return None
    everyday = _mean([by_day.get(day, Decimal(0)) for day in past])
    month, end = first_day(Period.MONTH, today), next_first_day(Period.MONTH, today)
    spent = sum((amount for day, amount in by_day.items() if month <= day <= today), Decimal(0))
    to_come = Decimal(0)
    for number in range(1, (end - today).days):
        day = today + timedelta(days=number)
        same = [by_day.get(one, Decimal(0)) for one in past if one.weekday() == day.weekday()]
        to_come += _mean(same) if same else everyday
    # What is left of today: it has cost something already.
    rest = max(Decimal(0), everyday - by_day.get(today, Decimal(0)))
    return (spent + rest + to_come).quantize(Decimal("0.01"))


def _mean(amounts: list[Decimal]) -> Decimal:
    return sum(amounts, Decimal(0)) / len(amounts)
