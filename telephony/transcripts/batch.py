"""From the Redis stream into the tenants' tables, in batches: deleted from the stream only after the commit.

No consumer group: writing is idempotent, so a batch that was committed but not yet deleted when its worker was killed
is simply written again, by whoever comes next.
"""

from __future__ import annotations

import logging
from typing import Any, cast

from telephony.transcripts import spool
from telephony.transcripts.entries import DEAD_STREAM, STREAM, Entry
from telephony.transcripts.store import AWAY, write_entries
from thanos.encryption import DecryptionError
from thanos.redis import sync_client

logger = logging.getLogger("telephony.transcripts")

Rows = list[tuple[bytes, dict[bytes, bytes]]]

BATCH_SIZE = 500
DEAD_STREAM_LENGTH = 100_000


def write_pending(*, max_batches: int = 20) -> int:
    """Write what is waiting in the stream and in spool files; return how many entries were taken.

    Raises RedisError or DatabaseError when one of them is away; nothing is lost then.
    """
    count = spool.replay(_write_or_set_aside)
    for _ in range(max_batches):
        taken = _write_batch()
        count += taken
        if taken < BATCH_SIZE:
            break
    return count


def _write_or_set_aside(entries: list[Entry]) -> None:
    for orphan in write_entries(entries):
        sync_client().xadd(DEAD_STREAM, {"e": orphan.sealed()}, maxlen=DEAD_STREAM_LENGTH, approximate=True)


def _write_batch() -> int:
    client = sync_client()
    rows = cast("Rows", client.xrange(STREAM, count=BATCH_SIZE))
    if not rows:
        return 0
    entries, unreadable = _unseal(rows)
    orphans = write_entries(entries)
    dead = unreadable + [{b"e": orphan.sealed()} for orphan in orphans]
    with client.pipeline(transaction=True) as pipe:
        for fields in dead:
            pipe.xadd(DEAD_STREAM, fields, maxlen=DEAD_STREAM_LENGTH, approximate=True)  # type: ignore[arg-type]
        pipe.xdel(STREAM, *(identifier for identifier, _ in rows))
        pipe.execute()
    return len(rows)


def _unseal(rows: Rows) -> tuple[list[Entry], list[dict[Any, Any]]]:
    entries: list[Entry] = []
    unreadable: list[dict[Any, Any]] = []
    for _, fields in rows:
        try:
            entries.append(Entry.unsealed(fields[b"e"]))
        except (DecryptionError, ValueError, TypeError, KeyError):
            unreadable.append(fields)
    if unreadable:
        logger.error("Transcript entries cannot be read.", extra={"count": len(unreadable)})
    return entries, unreadable


def pending_entries(call_id: str) -> list[Entry]:
    """Return a call's entries that are not in the database yet. Raises RedisError."""
    entries, _ = _unseal(cast("Rows", sync_client().xrange(STREAM)))
    return [entry for entry in entries if entry.call_id == call_id]


def put(entries: list[Entry]) -> None:
    """Hand entries on from synchronous code (webhooks, tasks): to Redis, else straight to the database, else to a file.

    Raises OSError when none of them takes them.
    """
    from redis.exceptions import RedisError

    try:
        client = sync_client()
        with client.pipeline(transaction=False) as pipe:
            for entry in entries:
                pipe.xadd(STREAM, {"e": entry.sealed()})
            pipe.execute()
    except RedisError:
        try:
            write_entries(entries)
        except AWAY:
            spool.append(entries)
