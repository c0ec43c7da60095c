"""Work in a process of its own, so that its memory is nobody else's. `python -m bench.children MODULE:FUNCTION …`."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from bench.cpu import Usage
from bench.product import ROOT, set_up_django

LIMIT_S = 900.0
FLAT_MB = 16.0  # what ten times as many rows may need more


@dataclass(frozen=True, slots=True)
class Done:
    rows: int
    seconds: dict[str, float]
    cpu: dict[str, float]  # seconds, of the process and of those it started
    grown_mb: float  # at its peak, over what it was when Django was ready; and the peak of those it started

    def rate(self, *names: str) -> float:
        return self.rows / sum(self.seconds[name] for name in names)


class Meter:
    """What the work hands its stretches to. It is made when the work begins."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.cpu: dict[str, float] = {}
        Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here on
        self._before_kb = _status_kb("VmRSS")

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        begun, used = time.perf_counter(), _cpu_s()
        yield
        self.seconds[name] = time.perf_counter() - begun
        self.cpu[name] = _cpu_s() - used

    def done(self, rows: int) -> Done:
        peak_kb = _status_kb("VmHWM") + sum(_status_kb("VmHWM", pid) for pid in _started())
        return Done(rows, self.seconds, self.cpu, (peak_kb - self._before_kb) / 1024)


def _started() -> list[int]:
    return [child.pid for child in psutil.Process().children(recursive=True)]


def _cpu_s() -> float:
    """Return the CPU time of this process and of those it started that still run."""
    return time.process_time() + sum(Usage(pid).cpu_s() for pid in _started())


def _status_kb(name: str, pid: int | str = "self") -> int:
    """Read from the kernel's account of an address space: that of `getrusage` begins with the parent's."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def in_child(work: Callable[..., int], *arguments: str, library: Path | None = None) -> Done:
    """Have `work(meter, *arguments)` done, and its rows counted. `library` is a folder of packages only it may use."""
    command = [sys.executable, "-m", "bench.children", f"{work.__module__}:{work.__qualname__}", *arguments]
    environment = os.environ | ({"PYTHONPATH": str(library)} if library else {})
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if ended.returncode:
        raise RuntimeError(f"{command[3]} failed: {ended.stderr[-3000:]}")
    return Done(**json.loads(ended.stdout.splitlines()[-1]))


def main(name: str, *arguments: str) -> None:
    lease = set_up_django()
    module, function = name.split(":")
    work = getattr(importlib.import_module(module), function)
    meter = Meter()
    done = meter.done(work(meter, *arguments))
    if lease is not None:
        lease.release()
    print(json.dumps({"rows": done.rows, "seconds": done.seconds, "cpu": done.cpu, "grown_mb": done.grown_mb}))


if __name__ == "__main__":
    main(*sys.argv[1:])
