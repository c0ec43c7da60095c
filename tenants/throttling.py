"""How much one caller of the REST API may ask for, and one organisation as a whole.

A sliding window out of two counters in Redis: this window's, and the last one's for the share of it that still counts.
One round trip, and two numbers however high the rate (DRF's own throttle keeps, reads and writes a list of times).
Rates are `DEFAULT_THROTTLE_RATES`, such as "600/min"; without one there is no limit.
"""

from __future__ import annotations

import logging
import time
from functools import lru_cache
from typing import TYPE_CHECKING

import redis
from django.conf import settings
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.throttling import BaseThrottle

from tenants.audit import client_address
from tenants.models import ApiToken

if TYPE_CHECKING:
    from rest_framework.views import APIView

logger = logging.getLogger("tenants")

TIMEOUT_S = 0.5
PERIODS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@lru_cache(maxsize=1)
def _redis() -> redis.Redis:
    pool = redis.BlockingConnectionPool.from_url(
        settings.REDIS_URL,
        max_connections=20,
        timeout=TIMEOUT_S,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
    )
    return redis.Redis(connection_pool=pool)


def parse_rate(rate: str) -> tuple[int, int]:
    """Return how many requests in how many seconds: "600/min" is (600, 60)."""
    count, period = rate.split("/")
    return int(count), PERIODS_S[period[0]]


def principal_of(request: Request) -> str:
    """Return who is asking, as it is told apart in keys: "token 3", "user 7", or the address of somebody unknown."""
    if isinstance(request.auth, ApiToken):
        return f"token {request.auth.pk}"
    if request.user.is_authenticated:
        return f"user {request.user.pk}"
    return f"address {client_address(request._request)}"


class SlidingThrottle(BaseThrottle):
    """Lets a request through when fewer than the rate's came from the same `ident` in the time before it."""

    scope = ""
    _wait_s: float | None = None

    def ident(self, request: Request) -> str | None:
        """Return what is counted as one; None where it is not counted."""
        raise NotImplementedError

    def now(self) -> float:
        return time.time()

    def allow_request(self, request: Request, view: APIView) -> bool:
        rate = (api_settings.DEFAULT_THROTTLE_RATES or {}).get(self.scope)
        tenant = getattr(request, "tenant", None)
        ident = self.ident(request)
        if not rate or tenant is None or ident is None:
            return True
        limit, window_s = parse_rate(str(rate))
        try:
            return self._count(f"rate:{self.scope}:{tenant.pk}:{ident}", limit, window_s)
        except redis.RedisError:
            # Nobody is locked out because Redis is away; it is missed, and said so, by everything else as well.
            logger.warning("Requests are not being counted: Redis is away.")
            return True

    def _count(self, key: str, limit: int, window_s: int) -> bool:
        window, elapsed_s = divmod(self.now(), window_s)
        this, last = f"{key}:{int(window)}", f"{key}:{int(window) - 1}"
        with _redis().pipeline(transaction=False) as pipe:
            pipe.incr(this)
            pipe.expire(this, 2 * window_s)
            pipe.get(last)
            count, _, before = pipe.execute()
        weight = 1 - elapsed_s / window_s
        if count + int(before or 0) * weight <= limit:
            return True
        _redis().decr(this)  # refused ones do not count, or a stubborn client would never get in again
        self._wait_s = _wait(count, int(before or 0), limit, elapsed_s, window_s)
        return False

    def wait(self) -> float | None:
        return self._wait_s


def _wait(count: int, before: int, limit: int, elapsed_s: float, window_s: int) -> float:
    """Return in how many seconds enough of what was asked before has slipped out of the window."""
    if count <= limit and before:  # the last window's share has to shrink
        return max(1.0, window_s * (1 - (limit - count) / before) - elapsed_s)
    rest_s = window_s - elapsed_s  # then this window's own begins to
    return max(1.0, rest_s + window_s * max(0.0, 1 - (limit - 1) / max(1, count - 1)))


class PrincipalThrottle(SlidingThrottle):
    """One token, or one person, in one organisation; whoever is not known, by address."""

    scope = "principal"

    def ident(self, request: Request) -> str:
        return principal_of(request)


class TenantThrottle(SlidingThrottle):
    """An organisation's tokens and people together, so that one organisation cannot starve the rest."""

    scope = "tenant"

    def ident(self, request: Request) -> str | None:
        # Outsiders have no part in it: they could use up what is the organisation's.
        return "all" if request.user.is_authenticated else None
