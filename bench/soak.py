"""Broken messages of both providers, thousands of each, to calls of a running installation: what of it comes to harm.

A call of its own carries nothing but audio meanwhile. The longest time that one of its frames takes through the server and
back is the most that the event loop, which all calls of the process share, can have been held up.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Sequence

import aiohttp
import uvloop
from picows import WSMsgType

from bench.load import Call, Load
from bench.product import Carrier, Product, incoming_form, sign
from bench.report import Result, percentile
from sandbox.fuzz import deepgram_messages, twilio_forms, twilio_messages

MESSAGES = 10_000  # of each protocol
CALLS = 5  # that hear them
A_SECOND = 100  # of each protocol, over all calls: ten times what real calls have
BEFORE_S = 20.0  # of audio alone, which shows what the machine itself does to a frame
LAG_MS = 50.0
_FAULT = re.compile(r"^\s*\w+ │ (?:[\w.]+(?:Error|Exception|Timeout)\b.*)|\" 500 ")


def run(product: Product) -> list[Result]:
    return uvloop.run(_soak(product))


async def _soak(product: Product) -> list[Result]:
    log = product.state_dir / "serve.log"
    logged = log.stat().st_size
    # Made before anything is measured: this process has one loop as well.
    of_the_carrier, of_the_agent = list(twilio_messages(1, MESSAGES)), list(deepgram_messages(1, MESSAGES))
    async with Load.running(product.agent_port) as load, aiohttp.ClientSession() as session:
        carrier = Carrier(product, session)
        calls = await load.open(CALLS, carrier.open)
        [quiet] = await load.open(1, carrier.open)
        # Only the quiet one's: a session that is opened anew is given what the caller said meanwhile, seconds old.
        before: list[float] = []
        trips: list[float] = []
        quiet.round_trips_s = before
        talking = asyncio.create_task(_talk([*calls, quiet]))
        await asyncio.sleep(BEFORE_S)
        quiet.round_trips_s = trips
        begun = time.monotonic()
        await asyncio.gather(_send_as_carrier(of_the_carrier, calls), _send_as_agent(of_the_agent, load, calls))
        took_s = time.monotonic() - begun
        await asyncio.sleep(1.0)
        quiet.round_trips_s = []
        posted = time.monotonic()
        refused = await _post_as_carrier(product, session)
        posting_s = time.monotonic() - posted
        talking.cancel()
        dead = await _dead([*calls, quiet])
        fates = await asyncio.to_thread(_fates, product, [*calls, quiet])
        await carrier.hang_up([*calls, quiet])
    faults = _faults(log.read_bytes()[logged:].decode(errors="replace").splitlines())
    times = [f"p99 {percentile(one, 0.99) * 1000:.1f} ms" for one in (before, trips)]
    note = f"in {took_s:.0f} s, over {CALLS} calls"
    return [
        Result("soak", "broken messages of the carrier", MESSAGES, "", note=note),
        Result("soak", "broken messages of the voice agent", MESSAGES, "", note=note),
        Result("soak", "odd forms to the carrier's webhooks", MESSAGES, "", note=f"in {posting_s:.0f} s, all signed"),
        Result(
            "soak", "forms that were not answered with 200, 204 or 400", len(refused), "", 0, note=", ".join(refused)[:300]
        ),
        Result("soak", "exceptions and answers of 500 in the log", len(faults), "", 0, note="; ".join(faults)[:300]),
        Result("soak", "calls that carry no audio afterwards", dead, f"of {CALLS + 1}", 0, note=fates),
        Result("soak", "longest round trip of a frame before", max(before) * 1000, "ms", note=times[0]),
        Result("soak", "longest round trip of a frame", max(trips) * 1000, "ms", LAG_MS, note=times[1]),
    ]


def _faults(lines: Sequence[str]) -> list[str]:
    """Return the last line of every traceback, and the requests that were answered with 500."""
    return [line.strip() for line in lines if _FAULT.search(line)]


def _fates(product: Product, calls: Sequence[Call]) -> str:
    """Return what was noted of the calls that says that they did not go on as they were."""
    from telephony.enums import EventKind
    from telephony.models import CallEvent
    from tenants.context import entered

    told = (EventKind.RECONNECT, EventKind.ENGINE_LOST, EventKind.WATCHDOG, EventKind.ERROR, EventKind.STREAM_ENDED)
    with entered(product.tenant):
        found = CallEvent.objects.filter(call__call_sid__in=[call.call_sid for call in calls], kind__in=told)
        return ", ".join(f"{event.kind} {event.detail}" for event in found)[:400]


async def _send_as_carrier(messages: list[bytes], calls: Sequence[Call]) -> None:
    async for call, data in _paced(messages, calls):
        if call._transport is not None and not call.is_over:
            call._transport.send(WSMsgType.TEXT, data)


async def _send_as_agent(messages: list[bytes], load: Load, calls: Sequence[Call]) -> None:
    async for call, data in _paced(messages, calls):
        load.agents[call.number].send(WSMsgType.TEXT, data)


async def _post_as_carrier(product: Product, session: aiohttp.ClientSession) -> list[str]:
    """Post odd forms, a few at a time; return the answers that are neither a good one nor say what is wrong."""
    forms = twilio_forms(1, MESSAGES)
    refused: list[str] = []

    async def one_after_another() -> None:
        for name, odd in forms:
            url, form = f"{product.url}/api/webhooks/{name}", incoming_form("") | odd
            async with session.post(url, data=form, headers=sign(url, form)) as response:
                await response.read()
                if response.status not in (200, 204, 400):
                    refused.append(f"{name} {response.status}")

    await asyncio.gather(*(one_after_another() for _ in range(8)))
    return refused


async def _paced(messages: list[bytes], calls: Sequence[Call]) -> AsyncIterator[tuple[Call, bytes]]:
    begun = time.monotonic()
    for number, data in enumerate(messages):
        yield calls[number % len(calls)], data
        await asyncio.sleep(max(0.0, begun + number / A_SECOND - time.monotonic()))


async def _talk(calls: Sequence[Call]) -> None:
    """All calls carry audio all the time, as real ones do."""
    begun, number = time.monotonic(), 0
    while True:
        number += 1
        for call in calls:
            call.send_frame()
        await asyncio.sleep(max(0.0, begun + number * 0.02 - time.monotonic()))


async def _dead(calls: Sequence[Call]) -> int:
    """Return on how many calls no audio comes back any more."""
    before = [call.received for call in calls]
    for _ in range(100):
        for call in calls:
            call.send_frame()
        await asyncio.sleep(0.02)
    return sum(call.is_over or call.received == was for call, was in zip(calls, before, strict=True))
