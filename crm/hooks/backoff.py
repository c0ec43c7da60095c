"""When a failed delivery is tried again, and how long a failing receiver is left alone. No I/O, no clock.

Ten attempts over about a day: after 15 s, 1 min, 4 min, 16 min, 1 h, 4 h and then every 6 h, each a fifth earlier or
later, so that what failed together does not come back together. As at Stripe, every answer that is not a 2xx is a
failed attempt and tried again on the same schedule: receivers answer 404 and 401 in the middle of a deployment.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_ATTEMPTS = 10
FIRST_DELAY_S = 15.0
MAX_DELAY_S = 6 * 3600.0
JITTER = 0.2

# A receiver that fails again and again is left alone for a while, whatever else waits for it.
RESTS_AFTER = 3
MAX_REST_S = 300.0
# One that answers slowly gets a pause as long as its answer took.
SLOW_S = 2.0


def delay_s(*, attempt: int, chance: float, retry_after_s: float | None = None) -> float | None:
    """Return how long after a failed attempt (the first is 1) the next one is due; None: it was the last.

    `chance` is between 0 and 1. What the receiver asked for is honoured when it is longer, up to six hours.
    """
    if attempt >= MAX_ATTEMPTS:
        return None
    planned: float = min(FIRST_DELAY_S * 4 ** (attempt - 1), MAX_DELAY_S)
    spread = planned * (1 - JITTER + 2 * JITTER * chance)
    return max(spread, min(retry_after_s or 0.0, MAX_DELAY_S))


def rest_s(*, failures: int, duration_s: float) -> float:
    """Return how long a receiver is left alone after an answer, given its failures in a row (0: it succeeded)."""
    if failures >= RESTS_AFTER:
        return float(min(FIRST_DELAY_S * 2 ** min(failures - RESTS_AFTER, 16), MAX_REST_S))
    return duration_s if duration_s > SLOW_S else 0.0


def retry_after_s(value: str | None, *, now: datetime) -> float | None:
    """Read `Retry-After`: seconds, or an HTTP date (RFC 9110 §10.2.3). What cannot be read is as if absent."""
    value = (value or "").strip()
    if value.isdecimal() and value.isascii():
        return float(value[:9])
    try:
        at = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max((at - now).total_seconds(), 0.0)
