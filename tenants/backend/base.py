"""django-tenants' database backend, with the current tenant in a context variable instead of on the connection.

Upstream keeps the tenant on the thread's connection, and all consumers of a process share one thread for synchronous
work: 900 of 1,000 rows of concurrent coroutines landed in the wrong tenant. asyncio copies a context variable into
every task and asgiref carries it into worker threads and back, so the tenant follows the *task*, whichever thread and
connection a query lands on. A thread nobody gave a context starts at the public schema, where tenant tables do not
exist: it fails closed.

`search_path` is sent only when the connection's last one differs from the one wanted now. Needs content types in the
public schema alone, because their process-wide cache is not cleared on a switch.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from django_tenants.postgresql_backend import base as upstream
from psycopg_pool import PoolTimeout

original_backend = upstream.original_backend

_PUBLIC = upstream.FakeTenant(schema_name=upstream.get_public_schema_name())
_current: contextvars.ContextVar[tuple[Any, bool]] = contextvars.ContextVar("tenant", default=(_PUBLIC, True))

# One page that is slow, asked for often enough, would hold every connection of a pool. So pages share most of it, and what
# is left is for the carrier's webhooks and for running calls, which nobody but the carrier can make many of.
SHARE_FOR_PAGES = 0.75
_may_wait: contextvars.ContextVar[bool] = contextvars.ContextVar("may_wait", default=False)


@contextmanager
def as_a_page() -> Iterator[None]:
    """Take connections only out of the pages' share of the pool, for as long as this lasts."""
    token = _may_wait.set(True)
    try:
        yield
    finally:
        _may_wait.reset(token)


@lru_cache(maxsize=8)
def _share(size: int) -> threading.BoundedSemaphore:
    return threading.BoundedSemaphore(max(1, int(size * SHARE_FOR_PAGES)))


class DatabaseWrapper(upstream.DatabaseWrapper):  # type: ignore[misc]
    def __init__(self, settings_dict: dict[str, Any], alias: str = "default") -> None:
        # Upstream's constructor enters the public schema; a connection object made in a worker thread must not
        # take the task that uses it out of its tenant.
        self._constructing = True
        self._taken_from: threading.BoundedSemaphore | None = None
        super().__init__(settings_dict, alias)
        self._constructing = False

    @property
    def tenant(self) -> Any:
        return _current.get()[0]

    @tenant.setter
    def tenant(self, value: Any) -> None:
        """Ignored: `set_tenant` is the only way in."""

    @property
    def schema_name(self) -> str:
        return str(_current.get()[0].schema_name)

    @schema_name.setter
    def schema_name(self, value: str) -> None:
        """Ignored, as above."""

    @property
    def include_public_schema(self) -> bool:
        return _current.get()[1]

    @include_public_schema.setter
    def include_public_schema(self, value: bool) -> None:
        """Ignored, as above."""

    def set_tenant(self, tenant: Any, include_public: bool = True) -> None:
        if not self._constructing:
            _current.set((tenant, include_public))

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Raises PoolTimeout, an OperationalError, when none is free within the pool's time limit."""
        if not self.pool or not _may_wait.get():
            return super().get_new_connection(conn_params)
        options = self.settings_dict["OPTIONS"]["pool"]
        share = _share(options["max_size"])
        if not share.acquire(timeout=options["timeout"]):
            raise PoolTimeout("all connections that pages may take are in use")
        try:
            connection = super().get_new_connection(conn_params)
        except BaseException:
            share.release()
            raise
        self._taken_from = share
        return connection

    def _configure_connection(self, connection: Any) -> bool:
        """Set this process's time limits on a new connection of the pool, beside what Django sets."""
        for name, value in self.settings_dict.get("LIMITS", {}).items():
            connection.execute(f"SET {name} = '{value}'")
        return bool(super()._configure_connection(connection))

    def _close(self) -> None:
        share, self._taken_from = self._taken_from, None
        try:
            super()._close()
        finally:
            if share is not None:
                share.release()

    def _handle_search_path(self, cursor: Any = None) -> None:
        if not self._setting_search_path and self.search_path_set_schemas == self._get_cursor_search_paths():
            return
        super()._handle_search_path(cursor)
