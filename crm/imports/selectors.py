from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from crm.imports.enums import Outcome
from crm.imports.models import ContactImport
from crm.imports.services.checking import Preview
from crm.imports.services.checking import preview as preview_of
from crm.imports.services.uploading import read_head

SHOWN = 50


def recent_imports() -> QuerySet[ContactImport]:
    found: QuerySet[ContactImport] = ContactImport.objects.order_by("-pk")[:SHOWN]
    return found


def samples(record: ContactImport) -> list[list[str]]:
    """Return the cells of the first rows, to recognise the columns by. Raises FileError."""
    return [cells for _, cells in read_head(record, 20).data]


def preview(record: ContactImport) -> Preview:
    """Raises FileError."""
    return preview_of(record)


def shown_outcomes(record: ContactImport) -> list[dict[str, Any]]:
    """Return the counts of the check before the import, and of the import itself afterwards, each with its name."""
    counts = record.counts if record.started_at else record.checked
    if counts is None:
        return []
    always = (Outcome.CREATED, Outcome.UPDATED, Outcome.BAD)
    return [
        {"key": str(outcome), "label": outcome.label, "count": counts[outcome]}
        for outcome in Outcome
        if counts[outcome] or outcome in always
    ]
