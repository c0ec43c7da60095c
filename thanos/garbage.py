"""Garbage is collected between events, at moments of our choosing, in the process that carries calls.

What is there when the process is ready stays for good: it is set aside, so that a full collection, which stops every
call for as long as it takes, has little to look at. And until Python 3.12 a collection may begin in the middle of setting
a context variable; a finaliser that sets one as well, such as a `with entered(…)` of a coroutine nobody awaits any more,
then crashes the interpreter (python/cpython#148891). Between events nothing is being set.

A little often, at Python's own thresholds: each request that Django answers leaves a hundred objects that hold each
other, and what a second of busy hours leaves took sixty milliseconds at once. Oftener still is worse: what is not done
with yet grows old before its time.
"""

from __future__ import annotations

import asyncio
import gc
import sys

EVERY_S = 0.02
FULL_EVERY_S = 60.0
GROWN = 1.25  # as Python does it: what is old is looked at once there is a quarter more of it
MAY_CRASH = sys.version_info < (3, 12)


def set_aside(*, collect: bool = True) -> None:
    """Exempt every object there is now from later collections. `collect` takes a moment: only before anybody is served."""
    if collect:
        gc.collect()
    gc.freeze()


async def collect_between_events(*, every_s: float = EVERY_S, full_every_s: float = FULL_EVERY_S) -> None:
    """Run for as long as the process does; return at once where automatic collections are safe."""
    if not MAY_CRASH:
        return
    gc.disable()
    loop = asyncio.get_running_loop()
    old, full_at = 0, loop.time() + full_every_s
    while True:
        await asyncio.sleep(every_s)
        if loop.time() >= full_at:
            old, full_at = _collect_if_grown(old), loop.time() + full_every_s
        youngest, young, _ = gc.get_count()
        most_youngest, most_young, _ = gc.get_threshold()
        if youngest > most_youngest:
            gc.collect(1 if young > most_young else 0)


def _collect_if_grown(old: int) -> int:
    """Look at everything if there is a quarter more of what is old than `old`; return how much there is."""
    if len(gc.get_objects(generation=2)) <= old * GROWN:
        return old
    gc.collect()
    return len(gc.get_objects(generation=2))
