from __future__ import annotations

from itertools import islice
from typing import Any

from django.db.models import QuerySet

from crm.imports.encodings import ENCODINGS
from crm.imports.enums import OnDuplicate, Outcome
from crm.imports.models import ContactImport
from crm.imports.reading import open_rows
from crm.imports.services.checking import Preview
from crm.imports.services.checking import preview as preview_of
from crm.imports.services.uploading import HEAD, read_head

SHOWN = 50


def recent_imports() -> QuerySet[ContactImport]:
    found: QuerySet[ContactImport] = ContactImport.objects.order_by("-pk")[:SHOWN]
    return found


def samples(record: ContactImport) -> list[list[str]]:
    """Return the cells of the first rows, to recognise the columns by. Raises FileError."""
    return [cells for _, cells in read_head(record, 20).data]


def encoding_examples(record: ContactImport) -> list[tuple[str, str]]:
    """Return, for each encoding the file may have, how the first cells that differ would read. Raises FileError."""
    examples = []
    for encoding in (record.encoding, *record.rivals):
        with open_rows(record, encoding=encoding) as rows:
            cells = (cell for _, row in islice(rows, HEAD) for cell in row if not cell.isascii())
            examples.append((ENCODINGS.get(encoding, encoding), " · ".join(islice(cells, 5))[:200]))
    return examples


def preview(record: ContactImport) -> Preview:
    """Raises FileError."""
    return preview_of(record)


def warnings(record: ContactImport) -> list[str]:
    """Return what the check has to say beside its counts: nothing is lost in silence."""
    found = record.findings or {}
    said = []
    if left_out := found.get("left_out"):
        names = ", ".join(left_out[:20]) + (", …" if len(left_out) > 20 else "")
        are = "column is" if len(left_out) == 1 else "columns are"
        said.append(f"{len(left_out)} {are} not imported: {names}.")
    if count := found.get("replaced"):
        where = ", ".join(f"row {number} ({header})" for number, header in found["replaced_in"])
        cells = "cell has" if count == 1 else "cells have"
        said.append(f"{count} {cells} a character that could not be read and is now �: {where}.")
    if count := found.get("unread"):
        cells = "cell cannot" if count == 1 else "cells cannot"
        said.append(f"{count} {cells} be read and will be left empty. The rows are imported without.")
    if count := found.get("no_country"):
        numbers = "phone number names" if count == 1 else "phone numbers name"
        said.append(f"{count} {numbers} no country. Say which country they are from.")
    if count := found.get("shared"):
        rows = "row shares" if count == 1 else "rows share"
        said.append(f"{count} {rows} a phone number or e-mail address with a contact of another name.")
    if record.rivals:
        said.append(f"The file was read as {ENCODINGS.get(record.encoding, record.encoding)}. Check accented letters.")
    return said


def shown_outcomes(record: ContactImport) -> list[dict[str, Any]]:
    """Return the counts of the check before the import, and of the import itself afterwards, each with its name."""
    counts = record.counts if record.started_at else record.counts_by_mode.get(OnDuplicate.SKIP, record.checked)
    if counts is None:
        return []
    always = (Outcome.CREATED, Outcome.UPDATED, Outcome.BAD)
    return [
        {"key": str(outcome), "label": outcome.label, "count": counts[outcome]}
        for outcome in Outcome
        if counts[outcome] or outcome in always
    ]
