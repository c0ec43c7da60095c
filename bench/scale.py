"""200 calls on one core: what they wait, what they lose, what they weigh, and how soon an interruption is obeyed.

Latency is measured in several windows, and the one counts in which strangers (other programs on the machine) took
least of the cores: chosen by what they took, not by what came out. Lost frames count in all of them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp
import uvloop

from bench.cpu import REST, TESTED, Usage, busy_s
from bench.load import Call, Load, Seen
from bench.product import Carrier, Product
from bench.report import Result, percentile

CALLS = 200
FIRST_CALLS = 20  # what the first calls import and cache is not a call's weight: only those after them are weighed
WINDOWS = 4
TALK_S = 3.0
INTERRUPTION_WINDOWS = 2
INTERRUPT_EVERY_S = 0.01


@dataclass
class Window:
    seen: Seen
    server_share: float  # of its core
    strangers_share: float  # of both cores together


@dataclass
class Measured:
    talks: list[Window]
    interruptions: list[Window]
    memory_kb: float


def run(product: Product) -> list[Result]:
    measured = uvloop.run(_measure(product))
    talk, clearing = _quietest(measured.talks), _quietest(measured.interruptions)
    trips_ms = [seconds * 1000 for seconds in talk.seen.round_trips_s]
    clears_ms = [seconds * 1000 for seconds in clearing.seen.clears_s]
    p50, p99 = percentile(trips_ms, 0.5), percentile(trips_ms, 0.99)
    sent = sum(window.seen.sent for window in measured.talks)
    received = sum(window.seen.received for window in measured.talks)
    unanswered = INTERRUPTION_WINDOWS * CALLS - sum(len(window.seen.clears_s) for window in measured.interruptions)
    busy = f"{CALLS} calls, server's core {talk.server_share:.0%} busy with it"
    strangers = f"strangers took {talk.strangers_share:.0%}"
    slowest = (
        f"p50 {percentile(clears_ms, 0.5):.1f}, slowest {max(clears_ms):.1f}; strangers took {clearing.strangers_share:.0%}"
    )
    return [
        Result("scale", "added latency a frame, p50, both ways", p50, "ms", 1.0, note=busy),
        Result(
            "scale",
            "added latency a frame, p99, both ways",
            p99,
            "ms",
            20.0,
            note=f"slowest {max(trips_ms):.0f}; {strangers}",
        ),
        Result("scale", "frames lost", sent - received, "", 0.0, note=f"of {sent} each way"),
        Result("scale", "memory a call", measured.memory_kb, "kB", 300.0),
        Result("scale", "caller speaks to `clear`, p99", percentile(clears_ms, 0.99), "ms", 20.0, note=slowest),
        Result("scale", "interruptions without `clear`", unanswered, "", 0.0),
    ]


def _quietest(windows: list[Window]) -> Window:
    return min(windows, key=lambda window: window.strangers_share)


async def _measure(product: Product) -> Measured:
    usage = product.usage()
    async with Load.running(product.agent_port) as load, aiohttp.ClientSession() as session:
        carrier = Carrier(product, session)
        calls = await load.open(FIRST_CALLS, carrier.open)
        await load.talk(calls, 2.0)
        light = usage.memory_kb()

        calls += await load.open(CALLS - FIRST_CALLS, carrier.open)
        await load.talk(calls, 2.0)
        talks = [await _window(load, usage, lambda: load.talk(calls, TALK_S)) for _ in range(WINDOWS)]
        heavy = usage.memory_kb()

        interruptions = [await _window(load, usage, lambda: _interrupt(load, calls)) for _ in range(INTERRUPTION_WINDOWS)]
        await carrier.hang_up(calls)
        return Measured(talks, interruptions, (heavy - light) / (CALLS - FIRST_CALLS))


async def _window(load: Load, server: Usage, work: Callable[[], Awaitable[object]]) -> Window:
    loop = asyncio.get_running_loop()
    this = Usage(os.getpid())
    cores = TESTED | REST
    seen = load.begin()
    begun, server_s, load_s, all_s = loop.time(), server.cpu_s(), this.cpu_s(), busy_s(cores)
    await work()
    lasted, server_s, load_s, all_s = (
        loop.time() - begun,
        server.cpu_s() - server_s,
        this.cpu_s() - load_s,
        busy_s(cores) - all_s,
    )
    strangers_s = max(0.0, all_s - server_s - load_s)
    return Window(seen, server_s / lasted, strangers_s / lasted / len(cores))


async def _interrupt(load: Load, calls: list[Call]) -> None:
    """Every caller interrupts the agent once, while all of them are talking."""

    async def one_after_another() -> None:
        for call in calls:
            load.interrupt(call)
            await asyncio.sleep(INTERRUPT_EVERY_S)

    await asyncio.gather(load.talk(calls, CALLS * INTERRUPT_EVERY_S + 0.5), one_after_another())
