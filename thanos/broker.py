"""Celery's connection to Redis, with one fault of its library (kombu 5.7) put right.

A connection that is given up puts the messages in its hands back into their queues. When it is given up because Redis is
gone, that raises in the midst of closing; what was not closed then fails again, without a connection to ask about, and the
worker ends with "Unrecoverable error: 'NoneType' object has no attribute 'hostname'". It is gone for as long as a start and
a warm shutdown take, seconds in which no transcript is written. Here such messages are left where they are: Redis has them
among the unacknowledged, from where they come back after `visibility_timeout`, and the sweeps come sooner.
"""

from __future__ import annotations

import logging
from typing import Any

from kombu.transport import redis as transport
from redis.exceptions import RedisError

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
    """Have every channel made from now on close in peace."""
    transport.Channel.QoS = QoS
