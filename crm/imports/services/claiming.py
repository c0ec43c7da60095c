"""One worker at a time. A worker that falls silent, killed perhaps, is replaced."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone

from crm.imports.enums import BUSY, ImportState
from crm.imports.models import ContactImport
from tenants.celery import publish

# No chunk takes as long. Taking over too early would be safe, and work for nothing.
SILENT = timedelta(seconds=30)


class SupersededError(Exception):
    """The import was cancelled, or another worker took over: leave without writing anything more."""


def claim(import_id: int, state: ImportState) -> ContactImport | None:
    """Return the import if it is in this state and no other worker is at it, now ours."""
    now = timezone.now()
    free = Q(runner="") | Q(heartbeat_at=None) | Q(heartbeat_at__lt=now - SILENT)
    mine = uuid.uuid4().hex
    claimed = ContactImport.objects.filter(free, pk=import_id, state=state).update(runner=mine, heartbeat_at=now)
    record: ContactImport | None = ContactImport.objects.filter(pk=import_id, runner=mine).first() if claimed else None
    return record


def advance(record: ContactImport, **columns: Any) -> None:
    """Write how far the import is, in the open transaction. Raises SupersededError when it is not ours to write."""
    mine = ContactImport.objects.filter(pk=record.pk, state=record.state, runner=record.runner, cursor=record.cursor)
    if not mine.update(heartbeat_at=timezone.now(), **columns):
        raise SupersededError
    for name, value in columns.items():
        setattr(record, name, value)


def release(record: ContactImport) -> None:
    """Let the next task go on at once."""
    ContactImport.objects.filter(pk=record.pk, runner=record.runner).update(runner="", heartbeat_at=timezone.now())


def hand_out(record: ContactImport) -> None:
    """Queue the task that an import's state asks for. A message that is lost, the sweep finds."""
    from crm.imports import tasks

    by_state = {
        ImportState.CHECKING: tasks.check_import,
        ImportState.RUNNING: tasks.run_import,
        ImportState.UNDOING: tasks.undo_import,
    }
    if task := by_state.get(ImportState(record.state)):
        publish(task, import_id=record.pk)


def silent_imports() -> list[ContactImport]:
    silent = ContactImport.objects.filter(state__in=BUSY, heartbeat_at__lt=timezone.now() - SILENT)
    return list(silent.order_by("pk"))
