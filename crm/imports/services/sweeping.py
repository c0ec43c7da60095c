"""What nobody waits for: imports whose worker died, and files whose time is over."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Q
from django.utils import timezone

from crm.imports.enums import BUSY
from crm.imports.models import KEPT_FOR, BadRow, ContactImport
from crm.imports.sealed import delete_sealed
from crm.imports.services.claiming import hand_out, silent_imports
from crm.models import ContactChange


def resume_silent() -> int:
    """Queue the imports of the entered tenant that nobody is at any more; return how many."""
    silent = silent_imports()
    for record in silent:
        hand_out(record)
    return len(silent)


def forget_expired(*, now: datetime | None = None) -> int:
    """Delete what is kept of old imports: the file, the bad rows, how contacts were before. The counts stay."""
    old = (now or timezone.now()) - KEPT_FOR
    over = Q(finished_at__lt=old) | Q(finished_at=None, uploaded_at__lt=old)
    expired: Any = ContactImport.objects.filter(over).exclude(path="").exclude(state__in=BUSY)
    records = list(expired)
    for record in records:
        BadRow.objects.filter(contact_import=record).delete()
        ContactChange.objects.filter(import_id=record.pk).delete()
        ContactImport.objects.filter(pk=record.pk).update(path="", problems=None)
        delete_sealed(record.path)
    return len(records)
