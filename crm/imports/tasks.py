"""Background work: ids in, one service call, safe to run twice."""

from __future__ import annotations

from celery import shared_task

from crm.imports.services import checking, running, sweeping, undoing
from tenants.celery import for_each_tenant


# A check cannot be cut into slices: what it has seen is in a table of its connection.
@shared_task(name="crm_imports.check", time_limit=3000)  # type: ignore[untyped-decorator]
def check_import(*, import_id: int) -> None:
    checking.check_import(import_id=import_id)


@shared_task(name="crm_imports.run")  # type: ignore[untyped-decorator]
def run_import(*, import_id: int) -> None:
    running.run_import(import_id=import_id)


@shared_task(name="crm_imports.undo")  # type: ignore[untyped-decorator]
def undo_import(*, import_id: int) -> None:
    undoing.undo_import(import_id=import_id)


@shared_task(name="crm_imports.sweep_silent")  # type: ignore[untyped-decorator]
def sweep_silent() -> None:
    for_each_tenant(lambda tenant: sweeping.resume_silent())


@shared_task(name="crm_imports.sweep_expired")  # type: ignore[untyped-decorator]
def sweep_expired() -> None:
    for_each_tenant(lambda tenant: sweeping.forget_expired())
