"""What costs are divided by: answered calls, bookings. Rooms that count them register here; nobody's count is unknown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

Counter = Callable[[date, date], int]
_counters: dict[str, Counter] = {}


def register(name: str, counter: Counter) -> None:
    """`counter` returns how many there were in the entered tenant from a day up to, and without, another."""
    _counters[name] = counter


def count(name: str, first: date, end: date) -> int | None:
    counter = _counters.get(name)
    return None if counter is None else counter(first, end)
