"""Garbage is collected between events, at moments of our choosing, in the process that carries calls.

What is there when the process is ready stays for good: it is set aside, so that a full collection, which stops every
call for as long as it takes, has little to look at. And until Python 3.12 a collection may begin in the middle of setting
a context variable; a finaliser that sets one as well, such as a `with entered(…)` of a coroutine nobody awaits any more,
then crashes the interpreter (python/cpython#148891). Between events nothing is being set.
"""

from __future__ import annotations

import asyncio
import gc
import sys

EVERY_S = 1.0
FULL_EVERY = 60  # collections of what is young
MAY_CRASH = sys.version_info < (3, 12)


async def collect_between_events(*, every_s: float = EVERY_S) -> None:
    """Run for as long as the process does; where automatic collections are safe, set aside and return."""
    gc.collect()
    gc.freeze()
    if not MAY_CRASH:
        return
    gc.disable()
    while True:
        for _ in range(FULL_EVERY):
            await asyncio.sleep(every_s)
            gc.collect(1)
        gc.collect()
