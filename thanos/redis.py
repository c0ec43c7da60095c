"""Clients to Redis: bounded pools, short time limits. Nobody on a call waits for Redis longer than that."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from weakref import WeakKeyDictionary

import redis
import redis.asyncio
from django.conf import settings
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

TIMEOUT_S = 0.5

_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, redis.asyncio.Redis] = WeakKeyDictionary()


@lru_cache(maxsize=1)
def sync_client() -> redis.Redis:
    pool = redis.BlockingConnectionPool.from_url(
        settings.REDIS_URL, max_connections=20, timeout=TIMEOUT_S, socket_timeout=2.0, socket_connect_timeout=TIMEOUT_S
    )
    return redis.Redis(connection_pool=pool)


def async_client() -> redis.asyncio.Redis:
    """Return the client of the running event loop. A command may be carried out twice, so nothing exact is counted.

    The pool of the other client looks at a kept connection before it gives it out; this one does not, and after a restart
    of Redis the first use of each would fail. It is tried once more, on a new one, at once.
    """
    loop = asyncio.get_running_loop()
    client = _clients.get(loop)
    if client is None:
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            settings.REDIS_URL,
            max_connections=32,
            timeout=TIMEOUT_S,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 1, (RedisConnectionError,)),
        )
        client = _clients[loop] = redis.asyncio.Redis(connection_pool=pool)
    return client


async def close_async_client() -> None:
    """Close the running event loop's client, before the loop ends."""
    client = _clients.pop(asyncio.get_running_loop(), None)
    if client is not None:
        await client.aclose()
        await client.connection_pool.disconnect()
