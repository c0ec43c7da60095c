"""Events of a call that are noticed outside its media stream: webhooks, members, the sweep."""

from __future__ import annotations

import secrets
from typing import Any

from redis.exceptions import RedisError

from telephony.enums import EventKind
from telephony.models import Call
from telephony.transcripts import batch
from telephony.transcripts.entries import event_entry
from tenants.context import current_schema
from thanos.redis import sync_client

# A stream numbers its entries from its number times a million; these come behind them in the same range.
OFFSET = 500_000
_LIFETIME_S = 24 * 60 * 60


def note(call: Call, kind: EventKind, detail: dict[str, Any] | None = None) -> None:
    """Add an event to a call's history. Must run inside the tenant."""
    sequence = call.stream_count * 1_000_000 + OFFSET + _next_number(call)
    batch.put([event_entry(current_schema() or "", str(call.pk), sequence, kind, detail or {})])


def _next_number(call: Call) -> int:
    key = f"thanos:events:{call.pk}"
    try:
        with sync_client().pipeline(transaction=False) as pipe:
            pipe.incr(key)
            pipe.expire(key, _LIFETIME_S)
            return int(pipe.execute()[0])
    except RedisError:
        return 100_000 + secrets.randbelow(390_000)  # far above what Redis counts to; events are shown by their time
