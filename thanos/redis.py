"""Clients to Redis: bounded pools, short time limits. Nobody on a call waits for Redis longer than that."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from weakref import WeakKeyDictionary

import redis
import redis.asyncio
from django.conf import settings
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

TIMEOUT_S = 0.5
# Connections kept from before a restart of Redis fail at their first use: once more, on a new one, and at once. What we
# write is idempotent, so a command that had been carried out after all does no harm.
_ANEW = (NoBackoff(), 1, (RedisConnectionError,))

_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, redis.asyncio.Redis] = WeakKeyDictionary()


@lru_cache(maxsize=1)
def sync_client() -> redis.Redis:
    pool = redis.BlockingConnectionPool.from_url(
        settings.REDIS_URL,
        max_connections=20,
        timeout=TIMEOUT_S,
        socket_timeout=2.0,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(*_ANEW),
    )
    return redis.Redis(connection_pool=pool)


def async_client() -> redis.asyncio.Redis:
    """Return the client of the running event loop."""
    loop = asyncio.get_running_loop()
    client = _clients.get(loop)
    if client is None:
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            settings.REDIS_URL,
            max_connections=32,
            timeout=TIMEOUT_S,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=AsyncRetry(*_ANEW),
        )
        client = _clients[loop] = redis.asyncio.Redis(connection_pool=pool)
    return client


async def close_async_client() -> None:
    """Close the running event loop's client, before the loop ends."""
    client = _clients.pop(asyncio.get_running_loop(), None)
    if client is not None:
        await client.aclose()
        await client.connection_pool.disconnect()
