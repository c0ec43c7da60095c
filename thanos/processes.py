"""Children of `serve`: started, watched, restarted when they die, and ended in order; none outlives its parent."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

PR_SET_PDEATHSIG = 1
STOP_TIMEOUT_S = 12.0
RESTARTS_IN_WINDOW = 5
RESTART_WINDOW_S = 60.0
COLOURS = {"web": 36, "worker": 33, "sandbox": 35}


@dataclass
class Child:
    name: str
    command: list[str]
    env: dict[str, str]
    pass_fds: tuple[int, ...] = ()
    stop_timeout_s: float = STOP_TIMEOUT_S
    process: asyncio.subprocess.Process | None = None
    starts: deque[float] = field(default_factory=deque)


def _before_exec() -> None:
    os.setsid()  # a Ctrl-C reaches the parent alone, which decides the order of ends
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Processes:
    def __init__(self) -> None:
        self.children: list[Child] = []
        self.failed = asyncio.Event()  # a child dies again and again
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, child: Child) -> None:
        self.children.append(child)
        await self._spawn(child)
        self._keep(self._watch(child))

    async def _spawn(self, child: Child) -> None:
        child.starts.append(time.monotonic())
        child.process = await asyncio.create_subprocess_exec(
            *child.command,
            env={**child.env, "PYTHONUNBUFFERED": "1"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            preexec_fn=_before_exec,
            pass_fds=child.pass_fds,
        )
        self._keep(self._print(child, child.process))

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _print(self, child: Child, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        prefix = f"{child.name:>8} │ "
        if sys.stdout.isatty():
            prefix = f"\033[{COLOURS.get(child.name, 37)}m{prefix}\033[0m"
        while line := await process.stdout.readline():
            sys.stdout.write(prefix + line.decode(errors="replace"))
            sys.stdout.flush()

    async def _watch(self, child: Child) -> None:
        while True:
            assert child.process is not None
            code = await _ended(child.process)
            _kill_group(child.process.pid)  # what the child had started must not outlive it
            if self._stopping:
                return
            while child.starts and time.monotonic() - child.starts[0] > RESTART_WINDOW_S:
                child.starts.popleft()
            if len(child.starts) >= RESTARTS_IN_WINDOW:
                print(
                    f"{child.name} ended {len(child.starts)} times within a minute (exit code {code}): giving up.",
                    flush=True,
                )
                self.failed.set()
                return
            print(f"{child.name} ended with exit code {code}: starting it again.", flush=True)
            await self._spawn(child)

    async def restart(self, name: str, *, grace_s: float) -> None:
        """End a child that does its work no more; whoever watches it starts it again."""
        child = next(child for child in self.children if child.name == name)
        process = child.process
        assert process is not None
        if process.returncode is not None:
            return  # it has ended by itself
        process.terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await _ended(process)
                return
        _kill_group(process.pid)

    async def stop(self, *, at_once: asyncio.Event) -> None:
        """Tell every child to end, wait for each, and kill what does not. `at_once` cuts the waiting short."""
        self._stopping = True
        running = [child for child in self.children if child.process is not None and child.process.returncode is None]
        for child in running:
            assert child.process is not None
            child.process.terminate()
        hurry = asyncio.create_task(at_once.wait())
        await asyncio.gather(*(self._end(child, hurry) for child in running))
        hurry.cancel()
        _, late = await asyncio.wait(list(self._tasks), timeout=2) if self._tasks else (set(), set())
        for task in late:
            task.cancel()

    @staticmethod
    async def _end(child: Child, hurry: asyncio.Task[bool]) -> None:
        assert child.process is not None
        ended = asyncio.create_task(_ended(child.process))
        await asyncio.wait([ended, hurry], timeout=child.stop_timeout_s, return_when=asyncio.FIRST_COMPLETED)
        _kill_group(child.process.pid)
        await ended


async def _ended(process: asyncio.subprocess.Process) -> int:
    """Return the exit code once the process itself has ended.

    `process.wait()` waits for its pipes as well, which a grandchild that was left behind keeps open.
    """
    while process.returncode is None:
        await asyncio.sleep(0.05)
    return process.returncode


def _kill_group(leader: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
