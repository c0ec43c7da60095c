"""Taking an import back: what it made goes into the bin, what it changed becomes as it was.

A contact that somebody has touched since is left as it is and counted. Each step is committed with the counts, so that
undoing can be interrupted anywhere and run again.
"""

from __future__ import annotations

import time
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from crm.imports.enums import ImportState
from crm.imports.errors import ImportStateError
from crm.imports.models import ContactImport
from crm.imports.services.claiming import SupersededError, advance, claim, hand_out, release
from crm.imports.services.running import SLICE_S, note_end
from crm.imports.writing import update_contacts
from crm.models import ContactChange
from crm.services.snapshots import load
from tenants.enums import AuditAction

STEP = 1_000


def start_undo(*, record: ContactImport) -> None:
    """Have an import undone. Raises ImportStateError when there is nothing to undo, or it is too long ago."""
    over = [ImportState.DONE, ImportState.CANCELED, ImportState.FAILED]
    if not record.can_be_undone:
        raise ImportStateError("There is nothing to undo, or it is too long ago.")
    now = timezone.now()
    started = ContactImport.objects.filter(pk=record.pk, state__in=over).update(
        state=ImportState.UNDOING, progress=0, runner="", heartbeat_at=now, cursor=0, undone=0, kept=0
    )
    if not started:
        raise ImportStateError("This import is being undone already.")
    record.refresh_from_db()
    transaction.on_commit(lambda: hand_out(record))


def undo_import(*, import_id: int, slice_s: float = SLICE_S) -> None:
    """Undo, a step at a time, from wherever it stopped. Safe to run twice at once and after a killed worker."""
    record = claim(import_id, ImportState.UNDOING)
    if record is None:
        return
    until = time.monotonic() + slice_s
    try:
        while _bin_step(record) or _restore_step(record):
            if time.monotonic() > until:
                release(record)
                hand_out(record)
                return
        with transaction.atomic():
            advance(record, state=ImportState.UNDONE, progress=1, runner="")
            note_end(record, AuditAction.IMPORT_UNDONE)
    except SupersededError:
        return  # another worker goes on; the open step is rolled back


def _bin_step(record: ContactImport) -> bool:
    """Put some of the contacts that the import made into the bin; False when none is left."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT contact.id, coalesce(change.version, 1) = contact.version AND NOT EXISTS (
                SELECT FROM crm_interaction WHERE crm_interaction.contact_id = contact.id
            )
            FROM crm_contact AS contact
            LEFT JOIN crm_contactchange AS change ON change.import_id = %s AND change.contact_id = contact.id
            WHERE contact.import_id = %s AND contact.id > %s AND contact.deleted_at IS NULL
            ORDER BY contact.id LIMIT %s FOR UPDATE OF contact
            """,
            [record.pk, record.pk, record.cursor, STEP],
        )
        rows = cursor.fetchall()
        if not rows:
            return False
        untouched = [pk for pk, is_untouched in rows if is_untouched]
        now = timezone.now()
        cursor.execute(
            "UPDATE crm_contact SET deleted_at = %s, updated_at = %s, version = version + 1 WHERE id = ANY(%s)",
            [now, now, untouched],
        )
        _count(record, len(untouched), len(rows) - len(untouched), cursor=rows[-1][0])
    return True


def _restore_step(record: ContactImport) -> bool:
    """Give some changed contacts their values back; False when none is left. What is dealt with is forgotten."""
    with transaction.atomic():
        changes: list[Any] = list(
            ContactChange.objects.filter(import_id=record.pk).order_by("contact_id").select_for_update()[:STEP]
        )
        if not changes:
            return False
        ours = [change for change in changes if change.before is None]  # made by the import: dealt with above
        wanted = [
            (change.contact_id, change.version, load(change.before)) for change in changes if change.before is not None
        ]
        restored = update_contacts(wanted, now=timezone.now())
        ContactChange.objects.filter(pk__in=[change.pk for change in changes]).delete()
        _count(record, len(restored), len(changes) - len(ours) - len(restored))
    return True


def _count(record: ContactImport, undone: int, kept: int, **columns: Any) -> None:
    undone, kept = record.undone + undone, record.kept + kept
    share = (undone + kept) / max(record.wrote, 1)
    advance(record, undone=undone, kept=kept, progress=min(share, 1.0), **columns)
