"""Words on their way to the database: sealed into the Redis stream, and from there into PostgreSQL in batches."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING

from bench.product import NUMBER, Product
from bench.report import Result

if TYPE_CHECKING:
    from telephony.transcripts.entries import Entry

ROUNDS = 3
CALLS = 100
TURNS = 10  # a call; a turn is two messages, an event and a latency
CHUNK = 100
# 200 calls, each of which makes one or two entries a second.
TARGET = 400
SAID = "Yes, Thursday at half past two would suit me very well, thank you."


def run(product: Product) -> list[Result]:
    put, written = [], []
    with product.worker_paused():
        _write_all()  # what earlier measurements left
        for number in range(ROUNDS):
            entries = _entries(product, number)
            begun = time.perf_counter()
            _put(entries)
            between = time.perf_counter()
            _write_all(expected=len(entries))
            put.append(len(entries) / (between - begun))
            written.append(len(entries) / (time.perf_counter() - between))
        _check(product)
    both = [1 / (1 / one + 1 / other) for one, other in zip(put, written, strict=True)]
    return [
        Result("transcripts", "sealed and put into Redis", median(put), "a second"),
        Result("transcripts", "from Redis into PostgreSQL", median(written), "a second"),
        Result("transcripts", "both, one after the other, one process", median(both), "a second", TARGET, ">="),
    ]


def _entries(product: Product, number: int) -> list[Entry]:
    from telephony.enums import Direction, EventKind
    from telephony.models import Call, Line
    from telephony.transcripts.entries import event_entry, latency_entry, message_entry
    from tenants.context import entered

    schema = product.tenant.schema_name
    entries = []
    with entered(product.tenant):
        line = Line.objects.first()
        for one in range(CALLS):
            call = Call.objects.create(
                call_sid=f"CAbench{number}-{one}",
                direction=Direction.INBOUND,
                line=line,
                from_number=NUMBER,
                to_number=NUMBER,
            )
            for turn in range(TURNS):
                first = 1_000_000 + turn * 3
                entries += [
                    message_entry(schema, str(call.pk), first, "user", SAID),
                    message_entry(schema, str(call.pk), first + 1, "assistant", SAID),
                    latency_entry(
                        schema, str(call.pk), first + 1, {"listen": 120, "think": 340, "speak": 90, "total": 610}
                    ),
                    event_entry(schema, str(call.pk), first + 2, EventKind.BARGE_IN, {"unheard_ms": 480}),
                ]
    # In the order of time: every call's first turn, then every call's second.
    each = TURNS * 4
    return [entries[call * each + at] for at in range(each) for call in range(CALLS)]


def _put(entries: list[Entry]) -> None:
    from telephony.transcripts.batch import put

    for begin in range(0, len(entries), CHUNK):
        put(entries[begin : begin + CHUNK])


def _write_all(expected: int | None = None) -> None:
    from telephony.transcripts.batch import write_pending

    count = 0
    while taken := write_pending():
        count += taken
    if expected is not None and count != expected:
        raise RuntimeError(f"{expected} entries were put and {count} were written")


def _check(product: Product) -> None:
    from telephony.models import CallMessage
    from tenants.context import entered

    with entered(product.tenant):
        found = CallMessage.objects.filter(call__call_sid__startswith="CAbench").exclude(latency=None).count()
    if found != ROUNDS * CALLS * TURNS:
        raise RuntimeError(f"{found} messages have their latency")
