"""Connections that were kept while Redis was restarted."""

from __future__ import annotations

import redis

from thanos.redis import async_client, close_async_client, sync_client


def cut(identifier: int) -> None:
    """Close a client's connection from Redis' side."""
    pool = sync_client().connection_pool
    with redis.Redis(connection_pool=redis.ConnectionPool(pool.connection_class, **pool.connection_kwargs)) as another:
        assert another.client_kill_filter(_id=str(identifier)) == 1


async def test_a_kept_connection_that_was_cut_is_made_anew():
    client = async_client()
    before = await client.client_id()

    cut(before)

    assert await client.client_id() != before
    await close_async_client()
