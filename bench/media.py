"""CPU for one 20 ms frame each way, against bridges that do nothing else.

All servers run at once on the same core, each with its calls open; they carry audio in turns, so that whatever else
happens on the machine happens to all of them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import aiohttp
import uvloop

from bench.cpu import TESTED, Usage, pinned_to
from bench.load import Call, Load, hang_up
from bench.product import ROOT, Carrier, Product, free_port
from bench.report import Result, percentile

CALLS = 100
ROUNDS = 10
TURN_S = 1.0
WARM_UP_S = 1.0
OURS, PLAIN, PLAIN_UVLOOP, NODE = "this product", "plain bridge", "plain bridge on uvloop", "Node bridge"
TARGETS = {PLAIN: 0.6, NODE: 1.15}
NPM_TIMEOUT_S = 60


@dataclass
class Contestant:
    name: str
    usage: Usage
    opener: Callable[[Load], Awaitable[Call]]
    calls: list[Call] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)  # for a pair of frames, one value a round
    round_trips_s: list[float] = field(default_factory=list)


def run(product: Product) -> list[Result]:
    with ExitStack() as stack:
        bridges = [
            stack.enter_context(bridge)
            for bridge in (
                _plain(PLAIN, product.agent_port),
                _plain(PLAIN_UVLOOP, product.agent_port, "uvloop"),
                _node(product.agent_port),
            )
        ]
        found = [bridge for bridge in bridges if bridge is not None]
        contestants = uvloop.run(_compete(product, found))
    return _results(contestants)


async def _compete(product: Product, bridges: Sequence[Contestant]) -> list[Contestant]:
    async with Load.running(product.agent_port) as load, aiohttp.ClientSession() as session:
        carrier = Carrier(product, session)
        contestants = [Contestant(OURS, product.usage(), carrier.open), *bridges]
        for contestant in contestants:
            contestant.calls = await load.open(CALLS, contestant.opener)
            await load.talk(contestant.calls, WARM_UP_S)
        for _ in range(ROUNDS):
            for contestant in contestants:
                await _turn(load, contestant)
        await carrier.hang_up(contestants[0].calls)
        for contestant in bridges:
            await hang_up(contestant.calls)
        return contestants


async def _turn(load: Load, contestant: Contestant) -> None:
    if not contestant.usage.is_alive():
        raise RuntimeError(f"{contestant.name}: its process has ended")
    seen = load.begin()
    before = contestant.usage.cpu_s()
    await load.talk(contestant.calls, TURN_S)
    used = contestant.usage.cpu_s() - before
    contestant.cpu_us.append(used / seen.received * 1e6)
    contestant.round_trips_s += seen.round_trips_s


def _results(contestants: Sequence[Contestant]) -> list[Result]:
    ours = contestants[0]
    results = []
    for one in contestants:
        p99 = percentile(one.round_trips_s, 0.99) * 1000
        note = f"{CALLS} calls, round trip p99 {p99:.1f} ms"
        results.append(Result("media", f"CPU a frame pair, {one.name}", median(one.cpu_us), "µs", note=note))
    for one in contestants[1:]:
        ratios = [mine / theirs for mine, theirs in zip(ours.cpu_us, one.cpu_us, strict=True)]
        note = f"rounds {min(ratios):.2f}–{max(ratios):.2f}"
        name = f"CPU, {OURS} / {one.name}"
        results.append(Result("media", name, median(ratios), "", TARGETS.get(one.name), note=note))
    if NODE not in {one.name for one in contestants}:
        results.append(Result("media", f"CPU, {OURS} / {NODE}", None, "", TARGETS[NODE], note="no Node here"))
    return results


# --- the bridges ----------------------------------------------------------------------------------------------------


@contextmanager
def _bridge(name: str, command: list[str], port: int, cwd: Path) -> Iterator[Contestant]:
    process = subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, preexec_fn=pinned_to(TESTED)
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline().strip() != b"ready":
            raise RuntimeError(f"the {name} did not start")
        url = f"ws://127.0.0.1:{port}/"
        yield Contestant(name, Usage(process.pid), lambda load: Call.connect(load, url))
    finally:
        process.terminate()
        process.wait(10)


def _agent_url(agent_port: int) -> str:
    return f"ws://127.0.0.1:{agent_port}/v1/agent/converse"


@contextmanager
def _plain(name: str, agent_port: int, *options: str) -> Iterator[Contestant]:
    port = free_port()
    command = [sys.executable, "-m", "bench.plain_bridge", str(port), _agent_url(agent_port), *options]
    with _bridge(name, command, port, ROOT) as contestant:
        yield contestant


@contextmanager
def _node(agent_port: int) -> Iterator[Contestant | None]:
    """The Node bridge, or None, with a printed sentence, where there is no Node or no way to its `ws` package."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not (node and npm):
        print("  There is no node or no npm here: the comparison with Node is skipped.")
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="thanos-bench-node-") as folder:
        install = [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, "ws@8"]
        try:
            subprocess.run(install, check=True, capture_output=True, timeout=NPM_TIMEOUT_S)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            print("  npm cannot install `ws`: the comparison with Node is skipped.")
            yield None
            return
        shutil.copy(Path(__file__).with_name("bridge.js"), folder)
        port = free_port()
        with _bridge(NODE, [node, "bridge.js", str(port), _agent_url(agent_port)], port, Path(folder)) as contestant:
            yield contestant
