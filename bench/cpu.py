"""Cores and the kernel's account of a process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]


def cores() -> tuple[set[int], set[int]]:
    """Return the core of the process under test and that of everything else; the same one where there is only one."""
    found = sorted(os.sched_getaffinity(0)) if _can_pin() else [0]
    return {found[0]}, {found[-1]}


def _can_pin() -> bool:
    return hasattr(os, "sched_setaffinity")


TESTED, REST = cores()  # read before anything is pinned


def pin(pid: int, chosen: set[int]) -> None:
    """Keep every thread of a process on these cores; threads it makes later inherit them."""
    if not _can_pin():
        return
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread.name), chosen)


@contextmanager
def on_a_core_of_its_own() -> Iterator[None]:
    """This process takes the place of the web server, which has nothing to do meanwhile; the database has the other."""
    pin(os.getpid(), TESTED)
    try:
        yield
    finally:
        pin(os.getpid(), REST)


def pinned_to(chosen: set[int]) -> Callable[[], None]:
    """Return a `preexec_fn`."""

    def before_exec() -> None:
        if _can_pin():
            os.sched_setaffinity(0, chosen)

    return before_exec


def busy_s(chosen: set[int]) -> float:
    """Return how long these cores have been busy with anything at all, the hypervisor's other guests included."""
    each = psutil.cpu_times(percpu=True)
    return float(sum(sum(each[core]) - each[core].idle - each[core].iowait for core in chosen))


class Usage:
    """What one process uses."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)

    def cpu_s(self) -> float:
        """Return the CPU time of all its threads since it began, by the scheduler's clock: `times` ticks at 10 ms."""
        total_ns = 0
        for thread in Path(f"/proc/{self._process.pid}/task").glob("*/schedstat"):
            with suppress(FileNotFoundError, ProcessLookupError):
                total_ns += int(thread.read_text().split()[0])
        return total_ns / 1e9

    def is_alive(self) -> bool:
        return bool(self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE)

    def memory_kb(self) -> float:
        return float(self._process.memory_info().rss) / 1000
