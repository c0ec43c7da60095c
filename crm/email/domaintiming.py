"""When a sending domain is looked at again. No I/O, no clock.

DNS takes minutes when all goes well and days when it does not, so the pauses grow; after 72 hours nobody waits any
more. A verified domain is looked at daily. Resolvers have hiccups: it counts as lost only when the records were missing
several times over an hour.
"""

from __future__ import annotations

from datetime import datetime, timedelta

PAUSES = tuple(timedelta(minutes=minutes) for minutes in (1, 2, 5, 10, 20, 40))
LONGEST_PAUSE = timedelta(hours=1)
WAITS_FOR = timedelta(hours=72)
DAILY = timedelta(hours=24)
ONCE_MORE = timedelta(minutes=15)  # a verified domain, after its records were missing
LOST_AFTER = timedelta(hours=1)
LOST_AFTER_FAILURES = 4
AT_MOST_EVERY = timedelta(seconds=10)  # however often a person asks
KEPT_FOR = timedelta(days=30)  # after waiting was given up: then somebody else may enter it


def pause_after(checks: int) -> timedelta:
    """Return the pause after so many checks; 0: between the registration and the first one."""
    return PAUSES[checks] if checks < len(PAUSES) else LONGEST_PAUSE


def next_try(*, now: datetime, checks: int, until: datetime | None, retry_after_s: float | None = None) -> datetime | None:
    """Return when to try again after `checks` tries, at the latest at `until`; None: that has passed."""
    if until is None or now >= until:
        return None
    asked_for = timedelta(seconds=min(retry_after_s or 0.0, LONGEST_PAUSE.total_seconds()))
    return min(now + max(pause_after(checks), asked_for), until)


def is_lost(*, failures: int, failing_since: datetime, now: datetime) -> bool:
    return failures >= LOST_AFTER_FAILURES and now - failing_since >= LOST_AFTER
