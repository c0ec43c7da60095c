"""Guessed passwords: who is stopped, so that nobody can stop anybody else.

Failures count by address, and by address and account together, on the page and in the API alike. An account's failures
from everywhere make every answer about it slower, and never refuse one: else whoever knows an e-mail address could keep
its owner out.
"""

from __future__ import annotations

import hashlib
import time

from allauth.core.internal.ratelimit import truncate_ip
from django.core.cache import cache
from django.db import connection
from django.http import HttpRequest

from tenants.audit import client_address

FREE_FAILURES = 20  # of one account within an hour, from everywhere
STEP_S = 0.1
MOST_S = 2.0
WINDOW_S = 3600


def key_of(request: HttpRequest, email: str) -> str:
    """Return what failures are counted by: the account, as asked for from this address (of IPv6, its network)."""
    return f"{truncate_ip(client_address(request) or '')}|{email.strip().casefold()}"


def note_failure(email: str) -> None:
    key = _counter(email)
    cache.add(key, 0, WINDOW_S)
    try:
        cache.incr(key)
    except ValueError:  # it has just lapsed
        cache.set(key, 1, WINDOW_S)


def slow_down(email: str) -> None:
    """Wait before a password is looked at, the longer the more were wrong; nothing of the database is held meanwhile."""
    failures = cache.get(_counter(email)) or 0
    if failures > FREE_FAILURES:
        if not connection.in_atomic_block:
            connection.close()
        time.sleep(min(MOST_S, (failures - FREE_FAILURES) * STEP_S))


def _counter(email: str) -> str:
    return "failures:" + hashlib.sha256(email.strip().casefold().encode()).hexdigest()
