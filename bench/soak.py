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
from bench.product import Carrier, Product
from bench.report import Result, percentile
from sandbox.fuzz import deepgram_messages, twilio_messages

MESSAGES = 10_000  # of each protocol
CALLS = 5  # that hear them
A_SECOND = 500  # of each protocol, over all calls
LAG_MS = 50.0
_FAULT = re.compile(rb"Traceback \(most recent call last\)|\" 500 ")


def run(product: Product) -> list[Result]:
    return uvloop.run(_soak(product))


async def _soak(product: Product) -> list[Result]:
    log = product.state_dir / "serve.log"
    logged = log.stat().st_size
    async with Load.running(product.agent_port) as load, aiohttp.ClientSession() as session:
        carrier = Carrier(product, session)
        calls = await load.open(CALLS, carrier.open)
        [quiet] = await load.open(1, carrier.open)
        seen = load.begin()
        talking = asyncio.create_task(_talk([*calls, quiet]))
        begun = time.monotonic()
        await asyncio.gather(_send_as_carrier(calls), _send_as_agent(load, calls))
        took_s = time.monotonic() - begun
        await asyncio.sleep(1.0)
        talking.cancel()
        trips = list(seen.round_trips_s)
        dead = await _dead([*calls, quiet])
        await carrier.hang_up([*calls, quiet])
    faults = len(_FAULT.findall(log.read_bytes()[logged:]))
    p99 = percentile(trips, 0.99) * 1000
    note = f"in {took_s:.0f} s, over {CALLS} calls"
    return [
        Result("soak", "broken messages of the carrier", MESSAGES, "", note=note),
        Result("soak", "broken messages of the voice agent", MESSAGES, "", note=note),
        Result("soak", "exceptions and answers of 500 in the log", faults, "", 0),
        Result("soak", "calls that carry no audio afterwards", dead, f"of {CALLS + 1}", 0),
        Result("soak", "longest round trip of a frame", max(trips) * 1000, "ms", LAG_MS, note=f"p99 {p99:.1f} ms"),
    ]


async def _send_as_carrier(calls: Sequence[Call]) -> None:
    async for call, data in _paced(list(twilio_messages(1, MESSAGES)), calls):
        if call._transport is not None and not call.is_over:
            call._transport.send(WSMsgType.TEXT, data)


async def _send_as_agent(load: Load, calls: Sequence[Call]) -> None:
    async for call, data in _paced(list(deepgram_messages(1, MESSAGES)), calls):
        load.agents[call.number].send(WSMsgType.TEXT, data)


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
