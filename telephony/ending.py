"""Ending tasks for certain: nothing that a caller waits for may wait for a task that does not end."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

logger = logging.getLogger("telephony")

ROUNDS = 4
ROUND_S = 0.5


async def end_tasks(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait for them, at most `ROUNDS * ROUND_S` seconds.

    One cancellation is not enough: a task can lose it. A task waiting on the channel layer was seen to go on as if nothing
    had been; before Python 3.12 `asyncio.wait_for` does that to whoever is cancelled just as its own wait is over.
    """
    running = {task for task in tasks if not task.done()}
    for _ in range(ROUNDS):
        if not running:
            break
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=ROUND_S)
    if running:
        logger.error("Tasks did not end when told to.", extra={"tasks": sorted(task.get_name() for task in running)})
    for task in set(tasks) - running:
        if not task.cancelled():
            task.exception()  # looked at, so that nothing reports it as lost; who made the task has logged it
