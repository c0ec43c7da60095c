"""Background workers say every few seconds that they live, and which queues they serve; whoever asks reads that.

Nobody asks the workers themselves: an answer that has to be waited for holds threads and connections of the one who asks.
A worker that has lost the broker, or hangs, says nothing, and is gone from here after `LAPSE_S`.
"""

from __future__ import annotations

import json
import logging
import time
from typing import Any

from celery import bootsteps
from redis.exceptions import RedisError

from thanos.redis import sync_client

logger = logging.getLogger("thanos")

EVERY_S = 3.0
LAPSE_S = 15
_KEY = "thanos:background"  # a sorted set: what each worker said, by when


def report(name: str, queues: list[str]) -> None:
    """Write down that a worker lives, in place of what it said before."""
    entry = json.dumps([name, sorted(queues)])
    with sync_client().pipeline(transaction=False) as pipe:
        pipe.zadd(_KEY, {entry: time.time()})
        pipe.zremrangebyscore(_KEY, "-inf", time.time() - LAPSE_S)
        pipe.expire(_KEY, 2 * LAPSE_S)
        pipe.execute()


def take_back(name: str, queues: list[str]) -> None:
    sync_client().zrem(_KEY, json.dumps([name, sorted(queues)]))


def workers() -> dict[str, list[str]]:
    """Return the queues of each background worker that lives. Raises RedisError when that cannot be known."""
    entries: Any = sync_client().zrangebyscore(_KEY, time.time() - LAPSE_S, "+inf")
    return dict(map(json.loads, entries))


class Heartbeat(bootsteps.StartStopStep):  # type: ignore[misc]
    """Of a worker's consumer: it begins with the connection to the broker and pauses without one."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._timer: Any = None

    def start(self, parent: Any) -> None:
        self._report(parent)
        self._timer = parent.timer.call_repeatedly(EVERY_S, self._report, (parent,))

    def stop(self, parent: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def terminate(self, parent: Any) -> None:
        self.stop(parent)

    def shutdown(self, parent: Any) -> None:
        self.stop(parent)
        try:
            take_back(parent.hostname, _queues(parent))
        except (RedisError, OSError):
            logger.warning("The worker's last report could not be taken back; it lapses.")

    def _report(self, parent: Any) -> None:
        try:
            report(parent.hostname, _queues(parent))
        except (RedisError, OSError):
            logger.warning("The worker cannot say that it lives: Redis is away.")


def _queues(parent: Any) -> list[str]:
    return list(parent.app.amqp.queues.consume_from)
