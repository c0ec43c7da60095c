"""Celery's connection to Redis, with two faults of its library (kombu 5.7) put right.

A connection that is given up puts the messages in its hands back into their queues. When it is given up because Redis is
gone, that raises in the midst of closing; what was not closed then fails again, without a connection to ask about, and the
worker ends with "Unrecoverable error: 'NoneType' object has no attribute 'hostname'". It is gone for as long as a start and
a warm shutdown take, seconds in which no transcript is written. Here such messages are left where they are: Redis has them
among the unacknowledged, from where they come back after `visibility_timeout`, and the sweeps come sooner.

A producer that has none yet takes a connection of another pool, and waits for it without any limit of time. Threads that
hold the one and wait for the other then wait for ever. Here the wait ends like every other, in "the broker is away".
"""

from __future__ import annotations

import logging
from typing import Any

from kombu.pools import ProducerPool
from kombu.transport import redis as transport
from redis.exceptions import RedisError

WAIT_S = 2.0

logger = logging.getLogger("thanos")


class QoS(transport.QoS):  # type: ignore[misc]
    def restore_unacked(self, client: Any = None) -> None:
        try:
            if self.channel.connection is not None and self.channel.connection.client is not None:
                super().restore_unacked(client)
        except (RedisError, OSError):
            logger.warning("Redis is away: tasks in hand are left to it.")
        if self._delivered:
            self._delivered.clear()


def survive_loss() -> None:
    """Have every channel made from now on close in peace, and nobody wait for a connection without end."""
    transport.Channel.QoS = QoS
    setattr(ProducerPool, "_acquire_connection", _acquire_connection)  # noqa: B010


def _acquire_connection(pool: Any) -> Any:
    """Raises LimitExceeded, which Celery makes an OperationalError of."""
    return pool.connections.acquire(block=True, timeout=WAIT_S)
