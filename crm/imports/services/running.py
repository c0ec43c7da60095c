"""Carrying out an import, so that it can be cancelled, interrupted and gone on with at any chunk."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from crm.hooks.enums import Event
from crm.hooks.services.emitting import emit
from crm.imports.chunks import ROWS, Chunk, Entry
from crm.imports.enums import OPEN, ImportState, OnDuplicate, OnShared
from crm.imports.errors import FileError, ImportStateError
from crm.imports.models import ContactImport
from crm.imports.reading import open_rows
from crm.imports.rowplan import FLAGS, Values
from crm.imports.sealed import delete_sealed
from crm.imports.services.checking import data_rows
from crm.imports.services.claiming import SupersededError, advance, claim, hand_out, release
from crm.imports.setup import Setup, owners, prepare
from crm.imports.writing import Creator, columns_of, copy_rows, plain, update_contacts
from crm.models import ContactChange
from crm.services.contacts import remember_tags
from tenants.audit import record as record_audit
from tenants.context import current_tenant
from tenants.enums import AuditAction
from tenants.models import User
from thanos.encryption import encrypt

# A task ends long before its time limit and queues the next, which goes on at the cursor.
SLICE_S = 240.0
NEVER_UNDONE = 0  # no contact has this version


def start_import(
    *,
    record: ContactImport,
    on_duplicate: str,
    on_shared: str = OnShared.CREATE,
    defaults: Mapping[str, Any] | None = None,
) -> None:
    """Have a checked import carried out. Raises ImportStateError when it is not (or no longer) ready."""
    now = timezone.now()
    chosen = {key: value for key, value in (defaults or {}).items() if value}
    started = ContactImport.objects.filter(pk=record.pk, state=ImportState.READY).update(
        state=ImportState.RUNNING,
        on_duplicate=OnDuplicate(on_duplicate),
        on_shared=OnShared(on_shared),
        defaults=_checked(chosen),
        started_at=now,
        heartbeat_at=now,
        runner="",
        cursor=record.header_row or 0,
        progress=0,
    )
    if not started and ContactImport.objects.filter(pk=record.pk, state=ImportState.ASKING).exists():
        raise ImportStateError("The check has questions about this file. Answer them first.")
    if not started:
        raise ImportStateError("This import is not ready: it was started already, or has to be checked first.")
    record.refresh_from_db()
    transaction.on_commit(lambda: hand_out(record))


def _checked(defaults: dict[str, Any]) -> dict[str, Any]:
    if "owner" in defaults and defaults["owner"] not in owners().values():
        raise ImportStateError("The owner you chose is no longer a member.")
    return defaults


def cancel_import(*, record: ContactImport) -> None:
    """Stop an import. What it has written stays, and can be undone. Raises ImportStateError for one that is over."""
    now = timezone.now()
    mine = ContactImport.objects.filter(pk=record.pk)
    idle = [*OPEN, ImportState.CHECKING]
    ended = {"state": ImportState.CANCELED, "finished_at": now, "runner": ""}
    if mine.filter(state__in=idle).update(**ended, path=""):
        delete_sealed(record.path)
    elif not mine.filter(state=ImportState.RUNNING).update(**ended):
        raise ImportStateError("There is nothing to cancel: the import is over.")
    record.refresh_from_db()


def run_import(*, import_id: int, slice_s: float = SLICE_S) -> None:
    """Import from the cursor on. Safe to run twice at once and after a killed worker: no row twice, none lost."""
    record = claim(import_id, ImportState.RUNNING)
    if record is None:
        return
    try:
        try:
            if _import_rows(record, until=time.monotonic() + slice_s):
                _finish(record)
            else:
                release(record)
                hand_out(record)
        except FileError as error:
            advance(record, state=ImportState.FAILED, error=str(error), finished_at=timezone.now(), runner="")
    except SupersededError:
        return  # cancelled or taken over; the open chunk is rolled back


def _import_rows(record: ContactImport, *, until: float) -> bool:
    """Return whether the end of the file was reached."""
    setup = prepare(record, now=record.started_at)
    always = {**columns_of(setup.defaults), "import_id": record.pk, "created_by_id": record.user_id}
    with open_rows(record) as rows:
        data = data_rows(rows, after=record.cursor)
        while numbered := list(islice(data, ROWS)):
            _import_chunk(setup, numbered, always)
            if time.monotonic() > until:
                return False
    return True


def _import_chunk(setup: Setup, numbered: list[tuple[int, list[str]]], always: dict[str, Any]) -> None:
    """Write some rows and move the cursor behind them, or neither."""
    record, now = setup.record, timezone.now()
    with transaction.atomic():
        chunk = Chunk(setup, record.on_duplicate, on_shared=record.on_shared, lock=True)
        chunk.deal_with(numbered)
        if chunk.new:
            Creator({**always, "created_at": now, "updated_at": now}).write(columns_of(entry.values) for entry in chunk.new)
        _update(record, [entry for entry in chunk.known.values() if entry.changed], now)
        remember_tags({tag for entry in _written(chunk) for tag in entry.values.get("tags") or ()})
        bad = [(row.number, False, row.reason, row.cells) for row in chunk.bad]
        bad += [(row.number, True, "; ".join(map(str, row.unread)), row.cells) for row in chunk.unread]
        copy_rows(
            "crm_imports_badrow",
            ("contact_import_id", "number", "was_imported", "content"),
            (
                (record.pk, number, was_imported, _sealed({"reason": reason, "cells": list(cells)}))
                for number, was_imported, reason, cells in bad
            ),
        )
        counts = {str(outcome): getattr(record, outcome) + count for outcome, count in chunk.outcomes.items()}
        share = (sum(record.counts.values()) + chunk.outcomes.total()) / max(record.total or 0, 1)
        counts["unread"] = record.unread + sum(len(row.unread) for row in chunk.unread)
        advance(record, cursor=numbered[-1][0], progress=min(share, 1.0), **counts)


def _written(chunk: Chunk) -> list[Entry]:
    return [*chunk.new, *(entry for entry in chunk.known.values() if entry.changed)]


def _sealed(value: Any) -> str:
    return encrypt(json.dumps(value).encode()).decode()


def _update(record: ContactImport, entries: list[Entry], now: datetime) -> None:
    if not entries:
        return
    changes = [(entry.pk or 0, entry.version, _changed_columns(entry.changed)) for entry in entries]
    update_contacts(changes, now=now)
    earlier = {
        change.contact_id: change
        for change in ContactChange.objects.filter(import_id=record.pk, contact_id__in=[pk for pk, _, _ in changes])
    }
    rows = []
    for entry, (pk, version, columns) in zip(entries, changes, strict=True):
        before: dict[str, Any] | None = {name: plain(entry.before[name]) for name in columns}
        after = version + 1
        if known := earlier.get(pk):
            before = {**(before or {}), **(known.before or {})}
            after = after if known.version == version else NEVER_UNDONE  # somebody changed it between two of our rows
        elif entry.is_ours:
            after = after if version == 1 else NEVER_UNDONE
        rows.append((pk, after, None if entry.is_ours else _sealed(before)))
    _note_changes(record, rows)


def _changed_columns(changed: Values) -> dict[str, Any]:
    columns = columns_of(changed)
    for flag, column in FLAGS.items():
        if column not in changed:
            columns.pop(f"{flag}_source", None)
    return columns


def _note_changes(record: ContactImport, rows: list[tuple[int, int, str | None]]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO crm_contactchange (import_id, contact_id, version, before)
            SELECT %s, new.* FROM unnest(%s::bigint[], %s::int[], %s::text[]) AS new (id, version, before)
            ON CONFLICT (import_id, contact_id) DO UPDATE SET version = excluded.version, before = excluded.before
            """,
            [record.pk, *(list(column) for column in zip(*rows, strict=True))],
        )


def _finish(record: ContactImport) -> None:
    with transaction.atomic():
        advance(record, state=ImportState.DONE, finished_at=timezone.now(), progress=1, runner="")
        note_end(record, AuditAction.CONTACTS_IMPORTED)


def note_end(record: ContactImport, action: AuditAction) -> None:
    """Tell the audit trail and other programs what an import did, in the transaction that ends it."""
    actor = User.objects.filter(pk=record.user_id).first() if record.user_id else None
    target = f"import {record.pk}: {record.created} created, {record.updated} changed"
    record_audit(action, tenant=current_tenant(), actor=actor, target=target)
    data = {"id": record.pk, "state": record.state, "name": record.name, **record.counts}
    data |= {str(name): getattr(record, name) for name in ("undone", "kept")}
    emit(event=Event.IMPORT_FINISHED, data=data, key=f"import:{record.pk}:{record.state}")
