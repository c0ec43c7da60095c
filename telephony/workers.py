"""Which worker holds which calls: each web process reports its open media sockets to Redis every few seconds.

The report lapses with its process, so the sum over all reports is the true number of open sockets; while Redis is
away it is unknown (None), never zero.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from dataclasses import dataclass

from redis.exceptions import RedisError

from thanos.redis import async_client, sync_client

logger = logging.getLogger("telephony")

HEARTBEAT_S = 3.0
LAPSE_S = 10
_PREFIX = "thanos:worker:"


@dataclass(frozen=True, slots=True)
class OpenSocket:
    call_sid: str
    schema: str


@dataclass(frozen=True, slots=True)
class WorkerReport:
    name: str
    sockets: tuple[OpenSocket, ...]
    is_draining: bool


class Worker:
    """This process: the media sockets it holds, and whether it still takes new ones."""

    def __init__(self) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self.sockets: dict[int, OpenSocket] = {}
        self.is_draining = False
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    def opened(self, key: int, held: OpenSocket) -> None:
        self.sockets[key] = held
        self._changed.set()

    def closed(self, key: int) -> None:
        self.sockets.pop(key, None)
        self._changed.set()

    def start(self) -> None:
        self._task = asyncio.create_task(self._beat())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
        try:
            await async_client().delete(_PREFIX + self.name)
        except (RedisError, OSError):
            logger.warning("The worker's last report could not be taken back; it lapses.")

    async def _beat(self) -> None:
        while True:
            try:
                await async_client().set(_PREFIX + self.name, self._report(), ex=LAPSE_S)
            except (RedisError, OSError):
                logger.warning("The worker cannot report its sockets: Redis is away.")
            self._changed.clear()
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._changed.wait()
                await asyncio.sleep(0.2)  # many sockets at once make one report
            except TimeoutError:
                continue

    def _report(self) -> str:
        held = [[item.call_sid, item.schema] for item in self.sockets.values()]
        return json.dumps({"sockets": held, "draining": self.is_draining})


worker = Worker()


def reports() -> list[WorkerReport] | None:
    """Return what every living worker reports, or None while that cannot be known."""
    try:
        client = sync_client()
        keys = sorted(client.scan_iter(match=_PREFIX + "*", count=500))
        values = client.mget(keys) if keys else []
    except RedisError:
        return None
    found = []
    for key, value in zip(keys, values, strict=True):  # type: ignore[arg-type]
        if value is not None:
            data = json.loads(value)
            sockets = tuple(OpenSocket(*item) for item in data["sockets"])
            found.append(WorkerReport(key.decode().removeprefix(_PREFIX), sockets, data["draining"]))
    return found


def calls_held() -> set[str] | None:
    """Return the SIDs of calls with an open media socket, or None while that cannot be known."""
    known = reports()
    return None if known is None else {held.call_sid for report in known for held in report.sockets}
