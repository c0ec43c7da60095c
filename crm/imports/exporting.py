"""Contacts as CSV and XLSX: every field, read chunk by chunk, so that a million need no more memory than a hundred.

What is written here, an import reads as it was (crm.imports.defusing, and the column of ids).
"""

from __future__ import annotations

import csv
import io
import tempfile
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import QuerySet

from crm.contactfields import FIELDS
from crm.fieldtypes import to_text
from crm.imports.defusing import defuse
from crm.imports.mapping import CUSTOM, EXTRA, ID_HEADER
from crm.imports.models import BadRow, ContactImport
from crm.imports.vocabulary import normalise
from crm.models import Contact, CustomField
from tenants.context import current_tenant
from tenants.models import Membership

ROWS = 2_000
MAX_XLSX_ROWS = 1_048_575  # a sheet's, without the header
MAX_XLSX_TEXT = 32_767
BLOCK = 256 * 1024
REASON_HEADER = "Reason why not imported"
UNREAD_HEADER = "Cells not imported"

Cell = Callable[[Any], str]
_RENAMED = {"do_not_call": "do_not_call_at", "do_not_mail": "do_not_mail_at"}


@dataclass(frozen=True, slots=True)
class Column:
    header: str
    cell: Cell


def ids_of(contacts: QuerySet[Contact]) -> array[int]:
    """Return the ids of a list, eight bytes for each: what is streamed is what was there when somebody asked."""
    return array("q", contacts.order_by("pk").values_list("pk", flat=True).iterator(chunk_size=20_000))


def columns() -> list[Column]:
    """Return what an export of the entered tenant has: built-in fields, custom fields, and what is known beside them."""
    zone = ZoneInfo(current_tenant().time_zone)
    emails = dict(Membership.objects.filter(tenant=current_tenant()).values_list("user_id", "user__email"))
    found = [Column(ID_HEADER, lambda contact: str(contact.id))]
    found += [Column(field.label, field.text) for field in FIELDS.values()]
    taken = {normalise(column.header) for column in found} | {normalise(label) for label in EXTRA.values()}
    taken |= {"score", "created", "updated"}
    for custom in CustomField.objects.filter(is_active=True):
        name = normalise(custom.label)
        # Two columns of one name could not be told apart by an import: the second is called by its key.
        found.append(Column(CUSTOM + custom.key if name in taken else custom.label, _custom(custom, zone)))
        taken.add(name)
    return [
        *found,
        Column("Owner", lambda contact: emails.get(contact.owner_id, "")),
        Column("Score", lambda contact: "" if contact.score is None else str(contact.score)),
        Column("Created", lambda contact: _moment(contact.created_at)),
        Column("Updated", lambda contact: _moment(contact.updated_at)),
    ]


def _custom(field: CustomField, zone: ZoneInfo) -> Cell:
    return lambda contact: to_text(field, contact.custom_fields.get(field.key), zone)


def _moment(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S+00:00")


def contact_rows(ids: Sequence[int], cells: Sequence[Cell]) -> Iterator[list[list[str]]]:
    """Yield the rows of some thousand contacts at a time. No cursor stays open in between."""
    names = ["id", *(_RENAMED.get(key, key) for key in FIELDS)]
    names += ["custom_fields", "owner_id", "score", "created_at", "updated_at"]
    for start in range(0, len(ids), ROWS):
        chosen = Contact.objects.filter(pk__in=ids[start : start + ROWS]).order_by("pk")
        yield [[cell(contact) for cell in cells] for contact in chosen.values_list(*names, named=True)]


def export_csv(ids: Sequence[int]) -> Iterator[bytes]:
    described = columns()
    yield "\ufeff".encode() + _lines([[column.header for column in described]])
    for rows in contact_rows(ids, [column.cell for column in described]):
        yield _lines(rows)


def _lines(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([defuse(cell) if cell else cell for cell in row] for row in rows)
    return text.getvalue().encode()


def export_xlsx(ids: Sequence[int]) -> Iterator[bytes]:
    """A workbook is a ZIP file: it is written to a temporary file first, and streamed from there."""
    import openpyxl

    described = columns()
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Contacts")
    sheet.append([column.header for column in described])
    for rows in contact_rows(ids, [column.cell for column in described]):
        for row in rows:
            sheet.append([_xlsx_cell(sheet, cell) for cell in row])
    with tempfile.TemporaryFile() as file:
        book.save(file)
        file.seek(0)
        while block := file.read(BLOCK):
            yield block


def _xlsx_cell(sheet: Any, text: str) -> Any:
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    if not text:
        return None
    text = defuse(ILLEGAL_CHARACTERS_RE.sub("", text))[:MAX_XLSX_TEXT]
    if text[0] not in "='":
        return text
    cell = WriteOnlyCell(sheet, text)
    cell.data_type = "s"  # whatever it begins with, it is a text
    return cell


def export_bad_rows(record: ContactImport, *, was_imported: bool = False) -> Iterator[bytes]:
    """The rows that were left out, as they came, each with the reason behind it: to be mended and uploaded again.

    Or those that were imported without some of their cells.
    """
    width = len(record.headers)
    yield "\ufeff".encode() + _lines([[*record.headers, UNREAD_HEADER if was_imported else REASON_HEADER]])
    rows = BadRow.objects.filter(contact_import=record, was_imported=was_imported)
    last = 0
    while found := list(rows.filter(number__gt=last).order_by("number")[:ROWS]):
        last = found[-1].number
        yield _lines([_bad_row(row.content, width) for row in found])


def _bad_row(content: dict[str, Any], width: int) -> list[str]:
    cells = [cell.replace("\0", "") for cell in content["cells"]]
    padded = [*cells, *[""] * (width - len(cells))]
    return [*padded[:width], content["reason"], *padded[width:]]
