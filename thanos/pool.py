"""Watches this process's pool of database connections: one that gives none out any more is told by `/health`.

Threads that wait for each other keep their connections for good, and everything that needs the database then fails until
the process ends. That is told apart from a database that is away, which ends by itself and must not end running calls:
then a fresh connection fails as well.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import psycopg
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, connections

logger = logging.getLogger("thanos")

EVERY_S = 5.0
STUCK_AFTER_S = 30.0


class PoolWatch:
    def __init__(self, link: Any = connection) -> None:
        self._link = link
        self.is_stuck = False
        self._failing_since: float | None = None

    def start(self) -> None:
        if settings.ENV.database_pool_size:
            threading.Thread(target=self._run, name="pool-watch", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(EVERY_S)
            self.look(time.monotonic())

    def look(self, now: float) -> None:
        """Try to get a connection, and remember since when there has been none although the database answers."""
        if self._pool_gives() or not self._database_answers():
            self._failing_since, self.is_stuck = None, False
            return
        self._failing_since = self._failing_since if self._failing_since is not None else now
        if now - self._failing_since >= STUCK_AFTER_S and not self.is_stuck:
            self.is_stuck = True
            logger.error("No connection of the pool has come free for %d s: this process is stuck.", STUCK_AFTER_S)

    def _pool_gives(self) -> bool:
        try:
            self._link.ensure_connection()
        except (DatabaseError, InterfaceError):
            return False
        finally:
            self._link.close()
        return True

    def _database_answers(self) -> bool:
        try:
            psycopg.connect(**_address(), connect_timeout=2).close()
        except psycopg.Error:
            return False
        return True


def _address() -> dict[str, Any]:
    chosen = connections["default"].settings_dict
    names = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    return {key: str(chosen[name]) for key, name in names.items() if chosen[name]}


watch = PoolWatch()
