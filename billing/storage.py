"""What is kept of an organisation's, in bytes. Rooms that keep files register how much it is."""

from __future__ import annotations

from collections.abc import Callable

Measure = Callable[[], int]
_measures: dict[str, Measure] = {}


def register(name: str, measure: Measure) -> None:
    """`measure` returns the entered tenant's bytes."""
    _measures[name] = measure


def stored_bytes() -> dict[str, int]:
    """Return the entered tenant's bytes by what they are of."""
    return {name: measure() for name, measure in sorted(_measures.items())}
