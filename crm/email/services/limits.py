"""How many messages may go now: one bucket of each organisation and one of the installation, in Redis.

A bucket fills at its rate and holds what comes in within twenty seconds. Whoever asks for more than that is given a
full bucket at once rather than a trickle, so that requests stay few. Redis away means RedisError: mail can wait.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import redis
from django.conf import settings

from crm.email.models.setup import email_settings
from tenants.context import current_tenant

HOLDS_S = 20
TIMEOUT_S = 2.0
_PREFIX = "{crm_email}"  # one slot of a cluster: the script touches several keys

# KEYS: the installation's bucket, the tenant's, the rest. ARGV: wanted, rate and capacity of each, now or "".
_TAKE = """
local now = tonumber(ARGV[6])
if not now then
  local time = redis.call('TIME')
  now = time[1] + time[2] / 1000000
end
local rest = redis.call('GET', KEYS[3])
if rest and tonumber(rest) > now then
  return {0, tostring(tonumber(rest) - now)}
end
local want = math.min(tonumber(ARGV[1]), tonumber(ARGV[3]), tonumber(ARGV[5]))
local wait, levels = 0, {}
for n = 1, 2 do
  local rate, capacity = tonumber(ARGV[2 * n]), tonumber(ARGV[2 * n + 1])
  local bucket = redis.call('HMGET', KEYS[n], 'level', 'at')
  local level, at = tonumber(bucket[1] or capacity), tonumber(bucket[2] or now)
  level = math.min(capacity, level + math.max(0, now - at) * rate)
  levels[n] = level
  if level < want then
    wait = math.max(wait, (want - level) / rate)
  end
end
if wait > 0 then
  return {0, tostring(wait)}
end
for n = 1, 2 do
  redis.call('HSET', KEYS[n], 'level', tostring(levels[n] - want), 'at', tostring(now))
  redis.call('EXPIRE', KEYS[n], 3600)
end
return {want, '0'}
"""
_GIVE_BACK = """
for n = 1, 2 do
  if redis.call('EXISTS', KEYS[n]) == 1 then
    redis.call('HINCRBYFLOAT', KEYS[n], 'level', ARGV[1])
  end
end
"""
_LEAVE = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


@dataclass(frozen=True, slots=True)
class Grant:
    count: int
    wait_s: float = 0.0  # when the count is 0: when to ask again


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


def take(count: int, *, now: float | None = None) -> Grant:
    """Return how many of `count` messages the entered tenant may send now, and takes them from both buckets.

    All of them, or a bucket full if that is less; or none, and how long to wait for that. Raises redis.RedisError.
    """
    rates = [(settings.ENV.emails_per_minute / 60), email_settings().messages_per_minute / 60]
    limits = [text for rate in rates for text in (repr(rate), _capacity(rate))]
    arguments = [count, *limits, "" if now is None else repr(now)]
    granted, wait = _redis().eval(_TAKE, 3, *_buckets(), f"{_PREFIX}:rest", *arguments)  # type: ignore[misc]
    return Grant(int(granted), float(wait))


def _capacity(rate: float) -> int:
    return max(1, math.ceil(rate * HOLDS_S))


def give_back(count: int) -> None:
    """What was taken and not used."""
    if count > 0:
        _redis().eval(_GIVE_BACK, 2, *_buckets(), count)


def _buckets() -> tuple[str, str]:
    return f"{_PREFIX}:all", f"{_PREFIX}:of:{current_tenant().schema_name}"


def rest(seconds: float, *, now: float | None = None) -> None:
    """The provider asked to be left alone, or is down: nobody of the installation sends for a while."""
    if seconds <= 0:
        return
    client = _redis()
    if now is None:
        whole, micro = client.time()  # type: ignore[misc]
        now = whole + micro / 1_000_000
    client.set(f"{_PREFIX}:rest", repr(now + seconds), ex=math.ceil(seconds) + 60)


@contextmanager
def one_at_a_time(name: str, *, lasts_s: int = 120) -> Iterator[bool]:
    """Tell whether nobody else of the tenant does the same at this moment. A killed worker's turn ends after `lasts_s`."""
    key, token, client = f"{_PREFIX}:turn:{current_tenant().schema_name}:{name}", uuid.uuid4().hex, _redis()
    if not client.set(key, token, nx=True, ex=lasts_s):
        yield False
        return
    try:
        yield True
    finally:
        client.eval(_LEAVE, 1, key, token)
