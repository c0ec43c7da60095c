"""Counting what strangers ask for, softly: when Redis is away, nobody is turned away."""

from __future__ import annotations

import hashlib

from django.core.cache import cache
from redis.exceptions import RedisError

WINDOW_S = 60


def is_too_often(what: str, who: str, *, limit: int) -> bool:
    """Count one more, and tell whether that is more than `limit` within the minute that began with the first."""
    key = f"often:{what}:{hashlib.sha256(who.encode()).hexdigest()[:32]}"
    try:
        cache.add(key, 0, WINDOW_S)
        return int(cache.incr(key)) > limit
    except (RedisError, ValueError):  # away; or its minute ended between the two
        return False
