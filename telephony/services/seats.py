"""Who is in a call right now: the limits on concurrent calls, counted in Redis so that no two callers get one seat.

A seat is a member of a sorted set, scored by when it was last known to be taken. Finalising a call frees its seat;
seats nobody freed (a lost Redis write, a killed process) lapse.
"""

from __future__ import annotations

import time
from enum import IntEnum

from django.conf import settings
from redis.exceptions import RedisError

from telephony.models import Call
from thanos.redis import sync_client

ALL = "thanos:seats"
LAPSE_S = 5 * 60 * 60  # longer than the longest call
SETTLED_S = 30.0

_TAKE = """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[2])
if redis.call('ZSCORE', KEYS[2], ARGV[3]) then return 1 end
if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[5]) then return 2 end
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[4]) then return 3 end
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[3])
redis.call('ZADD', KEYS[2], ARGV[1], ARGV[3])
return 0
"""


class Seat(IntEnum):
    TAKEN = 0
    HELD_ALREADY = 1
    TENANT_FULL = 2
    INSTALLATION_FULL = 3


def _tenant_key(schema: str) -> str:
    return f"thanos:seats:{schema}"


def take_seat(*, schema: str, call_sid: str, tenant_limit: int) -> Seat:
    """Take a seat for a call, atomically. While Redis is away the tenant's own rows are counted instead."""
    now = time.time()
    try:
        result = sync_client().eval(
            _TAKE,
            2,
            ALL,
            _tenant_key(schema),
            now,
            now - LAPSE_S,
            call_sid,
            settings.ENV.max_concurrent_calls,
            tenant_limit,
        )
        return Seat(int(result))  # type: ignore[arg-type]
    except RedisError:
        return Seat.TENANT_FULL if Call.objects.open().count() >= tenant_limit else Seat.TAKEN


def free_seat(*, schema: str, call_sid: str) -> None:
    """Safe to repeat. A seat that cannot be freed now lapses, or is freed by the next sweep."""
    try:
        with sync_client().pipeline(transaction=False) as pipe:
            pipe.zrem(ALL, call_sid)
            pipe.zrem(_tenant_key(schema), call_sid)
            pipe.execute()
    except RedisError:
        return


def seats_taken(schema: str) -> int | None:
    """Return how many calls of a tenant hold a seat, or None while Redis is away."""
    try:
        return int(sync_client().zcard(_tenant_key(schema)))  # type: ignore[arg-type]
    except RedisError:
        return None


def reconcile_seats(*, schema: str) -> None:
    """Make a tenant's seats agree with its open calls: some end, and some begin, while Redis is away.

    Must run inside the tenant. Raises RedisError. A seat taken this moment has no row yet, and is left alone.
    """
    now = time.time()
    client = sync_client()
    scored: list[tuple[bytes, float]] = client.zrange(_tenant_key(schema), 0, -1, withscores=True)  # type: ignore[assignment]
    open_sids = set(Call.objects.open().values_list("call_sid", flat=True))
    for sid, taken_at in scored:
        if sid.decode() not in open_sids and now - taken_at > SETTLED_S:
            free_seat(schema=schema, call_sid=sid.decode())
    missing = open_sids - {sid.decode() for sid, _ in scored}
    if missing:
        seats = dict.fromkeys(missing, now)
        client.zadd(_tenant_key(schema), seats)
        client.zadd(ALL, seats)
