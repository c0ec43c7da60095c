"""An answer on its way from the worker that gets it to the page that shows it: a Redis stream for each message, sealed.

It begins at the answer's beginning, so that a page that comes late or comes back sees all of it, and it is gone some
minutes after the answer is stored.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

from redis.exceptions import RedisError

from thanos.encryption import decrypt, encrypt
from thanos.redis import async_client, sync_client

KEEP_S = 600
MAX_ENTRIES = 5_000
BLOCK_MS = 10_000


def _key(message_id: object) -> str:
    return f"chat:{message_id}"


def _stop_key(message_id: object) -> str:
    return f"chat-stop:{message_id}"


def write(message_id: object, kind: str, **body: Any) -> None:
    """Pass something on. While Redis is away nothing is, and the page shows the answer when it is stored."""
    entry = encrypt(json.dumps({"kind": kind, **body}).encode())
    try:
        pipeline = sync_client().pipeline(transaction=False)
        pipeline.xadd(_key(message_id), {"e": entry}, maxlen=MAX_ENTRIES, approximate=True)
        pipeline.expire(_key(message_id), KEEP_S)
        pipeline.execute()
    except RedisError:
        return


async def read(message_id: object, *, after: str = "0-0") -> AsyncGenerator[tuple[str, dict[str, Any]] | None, None]:
    """Yield entries with their ids, None where nothing came for a while. Ends after the entry that says so."""
    client, last = async_client(), after
    while True:
        answer: Any = await client.xread({_key(message_id): last}, block=BLOCK_MS, count=200)
        entries = [entry for _, found in (answer or []) for entry in found]
        if not entries:
            yield None
        for identifier, fields in entries:
            last = identifier.decode() if isinstance(identifier, bytes) else str(identifier)
            body = json.loads(decrypt(fields[b"e"]))
            yield last, body
            if body["kind"] == "end":
                return


def order_stop(message_id: object) -> None:
    sync_client().set(_stop_key(message_id), 1, ex=KEEP_S)


def is_stop_ordered(message_id: object) -> bool:
    try:
        return bool(sync_client().exists(_stop_key(message_id)))
    except RedisError:
        return False
