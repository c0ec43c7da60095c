"""Who is calling, as the carrier says it."""

from __future__ import annotations

WITHHELD = "anonymous"
# Words on a keypad that some networks send for a number they keep back: ANONYMOUS, RESTRICTED, BLOCKED, UNKNOWN,
# UNAVAILABLE, PRIVATE. As numbers they would be one and the same person calling all the time. The first is in the
# carrier's documentation; the others follow its pattern and are UNCONFIRMED.
_WORDS = frozenset({WITHHELD, "unknown", "restricted", "unavailable", "blocked", "private"})
_SPELLED = frozenset({"+266696687", "+7378742833", "+2562533", "+8656696", "+86282452253", "+774828"})


def caller_of(number: str) -> str:
    """Return the caller's number or address, or WITHHELD for one that names nobody."""
    if number in _SPELLED or number.casefold() in (
        "anonymous",
        "unknown",
        "restricted",
        "unavailable",
        "blocked",
        "private",
    ):
        return WITHHELD
    return number
