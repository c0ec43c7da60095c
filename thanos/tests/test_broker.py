"""The broker is killed while a worker has tasks: the worker's connection is given up in peace, and made anew."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from kombu import Connection, Queue
from kombu.common import ignore_errors

from thanos.celery import app
from thanos.embedded import Services, Supervisor

QUEUES = [Queue("one"), Queue("two")]


class Broker:
    """A Redis of its own, as an installation without accounts has it."""

    def __init__(self, folder: Path) -> None:
        self.services = Services(folder)
        self.services.prepare()
        self.start()

    def start(self) -> None:
        self.server = Supervisor(self.services)._start_redis()
        client = redis.Redis(unix_socket_path=str(self.services.redis_socket))
        for _ in range(500):
            with suppress(redis.ConnectionError):
                client.ping()
                client.close()
                return
            time.sleep(0.01)
        raise AssertionError("Redis does not start")

    def kill(self) -> None:
        self.server.send_signal(signal.SIGKILL)
        self.server.wait(10)

    def connection(self) -> Connection:
        return app.connection_for_read(url=f"redis+socket://{self.services.redis_socket}")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path)
    yield broker
    broker.kill()


def take_one_of_each(connection: Connection) -> list[object]:
    """Leave a message unacknowledged on two channels, both waiting for the next, as a busy worker's are."""
    taken: list[object] = []
    for number, queue in enumerate(QUEUES):
        channel = connection.default_channel if number == 0 else connection.channel()
        connection.Consumer([queue], channel=channel, on_message=taken.append).consume()
    with suppress(TimeoutError):
        while True:
            connection.drain_events(timeout=0.2)
    return taken


def test_a_connection_with_work_in_hand_is_given_up_when_its_broker_dies(broker):
    with broker.connection() as ours:
        for queue in QUEUES:
            ours.Producer().publish({}, routing_key=queue.name, declare=[queue])
    connection = broker.connection()
    assert len(take_one_of_each(connection)) == 2

    broker.kill()
    with suppress(Exception):  # as Celery does it (celery/worker/consumer/consumer.py)
        connection.collect(socket_timeout=1)
    ignore_errors(connection, connection.close)

    broker.start()
    with broker.connection() as ours:
        assert ours.default_channel.client.hlen("unacked") == 2  # kept where a later worker looks for them
