"""Celery tasks know their tenant: it travels in a header of every message.

The header is stamped when a task is published and entered in `before_start`, where an error fails the task. (Celery
swallows what signal handlers raise, and a task for a tenant that is gone would then run in the public schema.) It is
left only in `task_postrun`, after links and callbacks have been published from inside.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from celery import Celery, Task
from celery.signals import task_postrun
from django.db import connection
from kombu.exceptions import OperationalError

from tenants.context import NoTenantError, entered, find_tenant, in_public

if TYPE_CHECKING:
    from tenants.models import Tenant

logger = logging.getLogger("tenants")

HEADER = "tenant_schema"
PUBLIC = "public"


def _stamped(headers: dict[str, Any] | None) -> dict[str, Any]:
    return {HEADER: connection.schema_name, **(headers or {})}  # type: ignore[attr-defined]


class TenantTask(Task):  # type: ignore[misc, type-arg]
    """A task that runs where it was published. With `public = True` it runs in the public schema only."""

    abstract = True

    def apply_async(self, args: Any = None, kwargs: Any = None, *rest: Any, **options: Any) -> Any:
        options["headers"] = _stamped(options.get("headers"))
        return super().apply_async(args, kwargs, *rest, **options)

    def apply(self, args: Any = None, kwargs: Any = None, *rest: Any, **options: Any) -> Any:
        options["headers"] = _stamped(options.get("headers"))
        return super().apply(args, kwargs, *rest, **options)

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Raises NoTenantError when the message names no tenant, or one that is gone."""
        schema = getattr(self.request, HEADER, None) or (self.request.headers or {}).get(HEADER)
        if not schema:
            raise NoTenantError(f"{self.name}: the message names no tenant")
        self.request.previous_tenant = connection.tenant  # type: ignore[attr-defined]
        if schema == PUBLIC:
            connection.set_schema_to_public()  # type: ignore[attr-defined]
        else:
            connection.set_tenant(find_tenant(schema))  # type: ignore[attr-defined]


@task_postrun.connect(weak=False)
def leave_tenant(task: Any = None, **_: Any) -> None:
    previous = getattr(task.request, "previous_tenant", None) if task else None
    if previous is not None:
        connection.set_tenant(previous)  # type: ignore[attr-defined]


class TenantCelery(Celery):  # type: ignore[misc]
    task_cls = TenantTask  # type: ignore[assignment]

    def send_task(self, name: str, *args: Any, **options: Any) -> Any:
        options["headers"] = _stamped(options.get("headers"))
        return super().send_task(name, *args, **options)


def publish(task: Any, *, countdown: float = 0, headers: dict[str, Any] | None = None, **kwargs: Any) -> bool:
    """Queue a task with these arguments; return False when the broker is away, for a sweep to come back to."""
    try:
        task.apply_async(kwargs=kwargs, countdown=countdown, headers=headers)
    except (OperationalError, OSError):
        logger.warning("A task could not be queued: the broker is away.", extra={"task": task.name})
        return False
    return True


def for_each_tenant(work: Callable[[Tenant], object]) -> None:
    """Do something inside each tenant. One tenant's trouble is not the next one's."""
    from tenants.models import Tenant

    with in_public():
        tenants = list(Tenant.objects.real())
    for tenant in tenants:
        try:
            with entered(tenant):
                work(tenant)
        except Exception:
            logger.exception("A sweep failed for one tenant.", extra={"tenant": tenant.schema_name})
