"""A call's own writer: takes entries in order, makes each durable, then tells the people who watch.

Redis first; when it does not answer, PostgreSQL; when neither does, a file. The last few seconds are written once
more when Redis fails, in case it went down with what it had just acknowledged: entries are idempotent.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from contextlib import suppress

from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.db import DatabaseError, InterfaceError
from redis.exceptions import RedisError

from telephony.models.calls import live_group
from telephony.transcripts import spool
from telephony.transcripts.entries import STREAM, Entry
from telephony.transcripts.store import write_entries
from thanos.redis import TIMEOUT_S, async_client

logger = logging.getLogger("telephony.transcripts")

QUEUE_SIZE = 1000  # entries of one call; a call makes one or two a second
REMEMBER_S = 5.0
REDIS_REST_S = 2.0  # after a failure, before Redis is tried again
FLUSH_TIMEOUT_S = 15.0


class _Breaker:
    """Redis is one for all calls of the process: when it is away, each of them need not find out."""

    def __init__(self) -> None:
        self.closed_until = 0.0

    def allows(self) -> bool:
        return time.monotonic() >= self.closed_until

    def trip(self) -> None:
        self.closed_until = time.monotonic() + REDIS_REST_S


_breaker = _Breaker()


class Journal:
    def __init__(self, call_id: str) -> None:
        self._group = live_group(call_id)
        self._queue: asyncio.Queue[Entry | None] = asyncio.Queue(QUEUE_SIZE)
        self._recent: deque[tuple[float, Entry]] = deque()
        self._task = asyncio.create_task(self._run())

    def put(self, entry: Entry) -> None:
        """Never blocks. A full queue means that nothing at all can be written: the entry goes to the file."""
        try:
            self._queue.put_nowait(entry)
        except asyncio.QueueFull:
            spool.append([entry])

    async def close(self) -> None:
        """Wait until everything is durable, within a time limit; what is left after it goes to the file."""
        with suppress(asyncio.QueueFull):
            self._queue.put_nowait(None)
        try:
            async with asyncio.timeout(FLUSH_TIMEOUT_S):
                await self._task
        except TimeoutError:
            # The one under way is among the recent ones.
            rest = [entry for _, entry in self._recent] + [entry for entry in self._drain() if entry is not None]
            await sync_to_async(spool.append, thread_sensitive=False)(rest)

    def _drain(self) -> list[Entry | None]:
        found = []
        while not self._queue.empty():
            found.append(self._queue.get_nowait())
        return found

    async def _run(self) -> None:
        while (entry := await self._queue.get()) is not None:
            try:
                await self._make_durable(entry)
                await self._publish(entry)
            except Exception:  # whatever it was, the words come first
                logger.exception("A transcript entry took the way of last resort.", extra={"call": entry.call_id})
                await sync_to_async(spool.append, thread_sensitive=False)([entry])

    async def _make_durable(self, entry: Entry) -> None:
        now = time.monotonic()
        while self._recent and now - self._recent[0][0] > REMEMBER_S:
            self._recent.popleft()
        self._recent.append((now, entry))
        if _breaker.allows():
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    await async_client().xadd(STREAM, {"e": entry.sealed()})
                return
            except (RedisError, OSError, TimeoutError):
                _breaker.trip()
                logger.warning("Redis is away: transcripts go straight to the database.", extra={"call": entry.call_id})
        await self._write_directly([recent for _, recent in self._recent])

    async def _write_directly(self, entries: list[Entry]) -> None:
        try:
            async with asyncio.timeout(5):
                await sync_to_async(_write_and_close, thread_sensitive=False)(entries)
        except (DatabaseError, InterfaceError, TimeoutError, OSError):
            logger.warning("Redis and the database are away: transcripts go to a file.")
            await sync_to_async(spool.append, thread_sensitive=False)(entries)

    async def _publish(self, entry: Entry) -> None:
        message = {"type": "call.entry", "sequence": entry.sequence, "kind": entry.kind, "at": entry.at, "body": entry.body}
        if not _breaker.allows():
            return
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await get_channel_layer().group_send(self._group, message)
        except (RedisError, OSError, TimeoutError):
            _breaker.trip()


def _write_and_close(entries: list[Entry]) -> None:
    from django.db import close_old_connections

    close_old_connections()
    try:
        write_entries(entries)
    finally:
        close_old_connections()
