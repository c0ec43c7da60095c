"""The dry run: every row of the file is read and matched, and nothing is written but the counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.db import transaction

from crm.contactfields import FIELDS
from crm.fieldtypes import to_text
from crm.imports.chunks import ROWS, BadRowFound, Chunk
from crm.imports.enums import ImportState, OnDuplicate, Outcome
from crm.imports.errors import FileError
from crm.imports.mapping import CUSTOM, targets
from crm.imports.matching import SeenRows
from crm.imports.models import ContactImport
from crm.imports.reading import Rows, open_rows
from crm.imports.rowplan import RowError, Values
from crm.imports.services.claiming import SupersededError, advance, claim
from crm.imports.services.uploading import custom_fields, read_head
from crm.imports.setup import Setup, prepare
from crm.models import Contact

PROBLEMS = 50


def check_import(*, import_id: int) -> None:
    """Count what an import would do. Safe to run twice, and again after a worker was killed half-way: it starts anew."""
    record = claim(import_id, ImportState.CHECKING)
    if record is None:
        return
    try:
        try:
            _check(record)
        except FileError as error:
            advance(record, state=ImportState.FAILED, error=str(error), runner="")
    except SupersededError:
        return  # cancelled: whoever did that has already said what the import is now


def _check(record: ContactImport) -> None:
    setup = prepare(record)
    outcomes: Counter[Outcome] = Counter()
    problems: list[BadRowFound] = []
    with open_rows(record) as rows, SeenRows() as seen:
        data = data_rows(rows, after=record.header_row or 0)
        while numbered := list(islice(data, ROWS)):
            chunk = Chunk(setup, OnDuplicate.UPDATE, seen=seen)
            with transaction.atomic():
                chunk.deal_with(numbered)
            outcomes += chunk.outcomes
            problems += sorted(chunk.bad, key=lambda bad: bad.number)[: PROBLEMS - len(problems)]
            advance(record, progress=rows.share)
    advance(
        record,
        state=ImportState.READY,
        checked={str(outcome): outcomes[outcome] for outcome in Outcome},
        problems=[[bad.number, bad.reason] for bad in problems],
        total=outcomes.total(),
        progress=1,
        runner="",
    )


def data_rows(rows: Rows, *, after: int) -> Iterator[tuple[int, list[str]]]:
    """The rows behind a row: the header, or the last one that is dealt with."""
    return (row for row in rows if row[0] > after)


# --- the preview -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PreviewRow:
    number: int
    texts: list[str]
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """The first rows as they would be read."""

    columns: list[str]
    rows: list[PreviewRow]


def preview(record: ContactImport, count: int = 8) -> Preview:
    """Raises FileError."""
    setup = prepare(record)
    labels = targets(custom_fields())
    keys = list(dict.fromkeys(column.key for column in setup.plan.columns))
    by_key = {column.key: labels.get(column.key, column.label) for column in setup.plan.columns}
    head = read_head(record, count + (record.header_row or 0))
    return Preview([by_key[key] for key in keys], [_row(setup, keys, *row) for row in head.data[:count]])


def _row(setup: Setup, keys: list[str], number: int, cells: list[str]) -> PreviewRow:
    try:
        values = setup.plan.parse(cells)
    except RowError as error:
        return PreviewRow(number, cells[: len(keys)], str(error))
    return PreviewRow(number, [_shown(setup, key, values) for key in keys])


def _shown(setup: Setup, key: str, values: Values) -> str:
    if key in ("first_name", "last_name"):
        return str(values.get("contact_name", "")) if key == "first_name" else ""
    if key.startswith(CUSTOM):
        name = key.removeprefix(CUSTOM)
        return to_text(setup.merger.fields[name], values.get("custom_fields", {}).get(name), setup.merger.reading.zone)
    value: Any = values.get(key)
    if value is None:
        return ""
    return FIELDS[key].text(Contact(**{key: value})) if key in ("phones", "tags") else str(value)
