"""A call's own writer: takes entries in order, makes each durable, then tells the people who watch.

Redis first; when it does not answer, PostgreSQL; when that does not either, a file. The last few seconds are written once
more when Redis fails, in case it went down with what it had just acknowledged: entries are idempotent.

When all three refuse (a full disk does that), entries stay where they are, at the head of the queue, and are tried again
until one of them takes them. The writer has no other end than an empty queue: not the call's end, which only waits for it
a while, and not an error of whatever kind. The end of the process is the last try; what is lost then is counted and said.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from itertools import islice

from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.db import DatabaseError
from redis.exceptions import RedisError

from telephony.models.calls import live_group
from telephony.transcripts import spool
from telephony.transcripts.entries import STREAM, Entry
from telephony.transcripts.figures import losses
from telephony.transcripts.store import write_entries
from thanos.redis import TIMEOUT_S, async_client

logger = logging.getLogger("telephony.transcripts")

BATCH_SIZE = 200  # entries written to the database or the file at once
QUEUE_SIZE = 10_000  # entries of one call, which makes one or two a second: an hour and more without any store
REMEMBER_S = 5.0
REDIS_REST_S = 2.0  # after a failure, before Redis is tried again
FLUSH_TIMEOUT_S = 15.0
DATABASE_TIMEOUT_S = 5.0
FIRST_PAUSE_S = 0.5  # before what nobody took is tried again; doubled each time
LONGEST_PAUSE_S = 5.0


class _Breaker:
    """Redis is one for all calls of the process: when it is away, each of them need not find out."""

    def __init__(self) -> None:
        self.closed_until = 0.0

    def allows(self) -> bool:
        return time.monotonic() >= self.closed_until

    def trip(self) -> None:
        self.closed_until = time.monotonic() + REDIS_REST_S


_breaker = _Breaker()
_writing: set[asyncio.Task[None]] = set()  # an event loop keeps no task alive by itself


class Journal:
    """Entries of one media stream. Used from the event loop only; `put` takes microseconds and never raises."""

    def __init__(self, call_id: str) -> None:
        self._call_id = call_id
        self._group = live_group(call_id)
        self._queue: deque[tuple[Entry, bytes]] = deque()  # with what it is sealed as
        self._recent: deque[tuple[float, Entry]] = deque()
        self._changed = asyncio.Event()
        self._is_closing = False
        self._task = asyncio.create_task(self._run())
        _writing.add(self._task)
        self._task.add_done_callback(_writing.discard)

    def put(self, entry: Entry) -> None:
        """Never blocks. A full queue means that nothing could be written for an hour: then the entry is lost."""
        if len(self._queue) >= QUEUE_SIZE or self._task.done():
            _lose(1, self._call_id)
            return
        try:
            sealed = entry.sealed()
        except (TypeError, ValueError):  # it is no JSON: no store will ever take it, and those behind it must not wait
            logger.exception("A transcript entry cannot be written down.", extra=self._extra())
            _lose(1, self._call_id)
            return
        self._queue.append((entry, sealed))
        losses.entries_waiting += 1
        self._changed.set()

    async def close(self) -> None:
        """Wait until everything is durable, within a time limit. What is left after it is still being written."""
        self._is_closing = True
        self._changed.set()
        await asyncio.wait([self._task], timeout=FLUSH_TIMEOUT_S)
        if not self._task.done():
            logger.error("A call has ended, and its words wait to be written.", extra=self._extra())

    async def _run(self) -> None:
        try:
            while self._queue or not self._is_closing:
                if self._queue:
                    await self._write_first()
                else:
                    self._changed.clear()
                    await self._changed.wait()
        finally:  # with a queue that is not empty: the process ends
            self._give_up()

    async def _write_first(self) -> None:
        """Make the oldest entry durable, however long it takes, then take it out of the queue; those behind it, too."""
        pause_s = FIRST_PAUSE_S
        while not (count := await self._make_durable()):
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        written = [self._queue.popleft()[0] for _ in range(count)]
        losses.entries_waiting -= count
        for entry in written:
            await self._publish(entry)

    def _give_up(self) -> None:
        """The last try, without a thread or a loop to wait for."""
        left = [entry for entry, _ in self._queue]
        self._queue.clear()
        losses.entries_waiting -= len(left)
        if not left:
            return
        try:
            spool.append([*(entry for _, entry in self._recent), *left])
        except Exception:
            logger.exception("The process ends, and a call's words could not be written.", extra=self._extra())
            _lose(len(left), self._call_id)

    async def _make_durable(self) -> int:
        """Try all there is; return how many entries from the head of the queue on are durable now."""
        try:
            entry, sealed = self._queue[0]
            if await self._put_into_redis(sealed):
                self._remember(entry)
                return 1
            batch = [entry for entry, _ in islice(self._queue, BATCH_SIZE)]
            if await self._write_directly([*(entry for _, entry in self._recent), *batch]):
                self._recent.clear()  # they are where Redis cannot lose them
                return len(batch)
        except Exception:  # whatever it was, the words come first
            logger.exception("Transcript entries could not be written; they are tried again.", extra=self._extra())
        return 0

    def _remember(self, entry: Entry) -> None:
        now = time.monotonic()
        while self._recent and now - self._recent[0][0] > REMEMBER_S:
            self._recent.popleft()
        self._recent.append((now, entry))

    async def _put_into_redis(self, sealed: bytes) -> bool:
        if not _breaker.allows():
            return False
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await async_client().xadd(STREAM, {"e": sealed})
        except (RedisError, OSError, TimeoutError):
            _breaker.trip()
            logger.warning("Redis is away: transcripts go straight to the database.", extra=self._extra())
            return False
        return True

    async def _write_directly(self, entries: list[Entry]) -> bool:
        try:
            async with asyncio.timeout(DATABASE_TIMEOUT_S):
                await sync_to_async(_write_and_close, thread_sensitive=False)(entries)
        except (DatabaseError, TimeoutError, OSError):
            logger.warning("Redis and the database are away: transcripts go to a file.", extra=self._extra())
            return await self._spool(entries)
        return True

    async def _spool(self, entries: list[Entry]) -> bool:
        try:
            await sync_to_async(spool.append, thread_sensitive=False)(entries)
        except OSError as error:
            why = {"why": type(error).__name__, "code": error.errno}
            logger.error("No store takes transcripts; they wait in memory.", extra=self._extra() | why)
            return False
        return True

    async def _publish(self, entry: Entry) -> None:
        message = {"type": "call.entry", "sequence": entry.sequence, "kind": entry.kind, "at": entry.at, "body": entry.body}
        if not _breaker.allows():
            return
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await get_channel_layer().group_send(self._group, message)
        except (RedisError, OSError, TimeoutError):
            _breaker.trip()
        except Exception:  # those who watch see it when they load the page again
            logger.exception("A transcript entry could not be shown.", extra=self._extra())

    def _extra(self) -> dict[str, object]:
        return {"call": self._call_id, "waiting": len(self._queue)}


def _lose(count: int, call_id: str) -> None:
    losses.entries_lost += count
    logger.error("Transcript entries are lost: nothing could be written.", extra={"call": call_id, "count": count})


def _write_and_close(entries: list[Entry]) -> None:
    from django.db import close_old_connections

    close_old_connections()
    try:
        orphans = write_entries(entries)
    finally:
        close_old_connections()
    if orphans:  # the replayer sets them aside, where they can be looked at
        spool.append(orphans)
