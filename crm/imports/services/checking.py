"""The dry run: every row of the file is read and matched, and nothing is written but the counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from django.db import transaction

from crm.contactfields import FIELDS
from crm.fieldtypes import to_text
from crm.imports.chunks import ROWS, BadRowFound, Chunk
from crm.imports.enums import FileKind, ImportState, OnDuplicate, Outcome
from crm.imports.errors import FileError
from crm.imports.mapping import CUSTOM, NAME_PARTS, NOTE, PHONE_LABEL, targets
from crm.imports.matching import SeenRows
from crm.imports.models import ContactImport
from crm.imports.reading import Rows, open_rows
from crm.imports.rowplan import RowError, Values
from crm.imports.services.claiming import SupersededError, advance, claim
from crm.imports.services.uploading import custom_fields, read_head
from crm.imports.setup import Setup, answers_of, owners, prepare, reading_of
from crm.imports.surveying import Survey
from crm.imports.vocabulary import preset_of
from crm.models import Contact

PROBLEMS = 50
_SURVEY_SHARE = 0.3  # of the time a check takes


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
    survey = _survey(record)
    questions = survey.questions()
    findings: dict[str, Any] = {
        "questions": questions,
        "left_out": [] if record.preset == "own" else survey.left_out(),
        "replaced": survey.replaced,
        "replaced_in": survey.replaced_in,
    }
    advance(record, decided=survey.decided(), findings=findings, checked=None, problems=None)
    if questions:
        advance(record, state=ImportState.ASKING, progress=1, runner="")
        return
    tally = _match(record)
    advance(
        record,
        state=ImportState.READY,
        checked=_counts(tally.updating),
        findings=findings | tally.findings(),
        problems=[[bad.number, bad.reason] for bad in tally.problems],
        total=tally.updating.total(),
        progress=1,
        runner="",
    )


def _survey(record: ContactImport) -> Survey:
    """Look at every column of the whole file: what belongs to a column is not decided cell by cell."""
    preset = preset_of(record.preset)
    is_as_written = preset is not None and (record.kind == FileKind.XLSX or preset.delimiter == record.delimiter)
    survey = Survey(
        record.mapping,
        record.headers,
        fields=custom_fields(),
        reading=reading_of(record),
        owners=owners(),
        answers=answers_of(record),
        day_format=record.day_format,
        decimal_mark=record.decimal_mark,
        default_mark=preset.decimal_mark if preset and is_as_written else "",
    )
    with open_rows(record) as rows:
        for count, (number, cells) in enumerate(data_rows(rows, after=record.header_row or 0), 1):
            survey.see(number, cells)
            if count % ROWS == 0:
                advance(record, progress=rows.share * _SURVEY_SHARE)
    return survey


@dataclass(slots=True)
class _Tally:
    """What an import would do, whatever is chosen to be done with known contacts."""

    updating: Counter[Outcome] = field(default_factory=Counter)
    skipping: Counter[Outcome] = field(default_factory=Counter)
    complete: int = 0  # rows that would make a contact of their own
    shared: int = 0
    unread: int = 0
    no_country: int = 0
    unread_examples: list[list[Any]] = field(default_factory=list)
    problems: list[BadRowFound] = field(default_factory=list)

    def add(self, updating: Chunk, skipping: Chunk, setup: Setup) -> None:
        self.updating += updating.outcomes
        self.skipping += skipping.outcomes
        self.shared += updating.shared
        self.problems += sorted(updating.bad, key=lambda bad: bad.number)[: PROBLEMS - len(self.problems)]
        for row in updating.unread:
            self.unread += len(row.unread)
            for cell in row.unread:
                self.no_country += setup.lacks_country(cell, row.cells)
                if len(self.unread_examples) < PROBLEMS:
                    self.unread_examples.append([row.number, cell.label, cell.reason])

    def findings(self) -> dict[str, Any]:
        total = self.updating.total()
        creating = Counter({Outcome.CREATED: self.complete, Outcome.BAD: total - self.complete})
        by_mode = {OnDuplicate.SKIP: self.skipping, OnDuplicate.UPDATE: self.updating, OnDuplicate.CREATE: creating}
        return {
            "by_mode": {str(mode): _counts(outcomes) for mode, outcomes in by_mode.items()},
            "shared": self.shared,
            "unread": self.unread,
            "unread_examples": self.unread_examples,
            "no_country": self.no_country,
        }


def _counts(outcomes: Counter[Outcome]) -> dict[str, int]:
    return {str(outcome): outcomes[outcome] for outcome in Outcome}


def _match(record: ContactImport) -> _Tally:
    setup = prepare(record)
    tally = _Tally()
    with open_rows(record) as rows, SeenRows("update") as seen, SeenRows("skip") as seen_skipping:
        data = data_rows(rows, after=record.header_row or 0)
        while numbered := list(islice(data, ROWS)):
            updating = Chunk(setup, OnDuplicate.UPDATE, seen=seen)
            skipping = Chunk(setup, OnDuplicate.SKIP, seen=seen_skipping)
            with transaction.atomic():
                read = updating.deal_with(numbered)
                tally.complete += sum(setup.plan.is_complete(row.values) for row in read)
                skipping.decide_like(updating, read)
            tally.add(updating, skipping, setup)
            advance(record, progress=_SURVEY_SHARE + rows.share * (1 - _SURVEY_SHARE))
    return tally


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
    shown = [column for column in setup.plan.columns if column.key not in (PHONE_LABEL, NOTE)]
    by_key = {"contact_name" if column.key in NAME_PARTS else column.key: column.label for column in shown}
    by_key |= {key: labels[key] for key in by_key if key in labels}
    keys = list(by_key)
    head = read_head(record, count + (record.header_row or 0))
    return Preview([by_key[key] for key in keys], [_row(setup, keys, *row) for row in head.data[:count]])


def _row(setup: Setup, keys: list[str], number: int, cells: list[str]) -> PreviewRow:
    try:
        values = setup.plan.parse(cells).values
    except RowError as error:
        return PreviewRow(number, cells[: len(keys)], str(error))
    return PreviewRow(number, [_shown(setup, key, values) for key in keys])


def _shown(setup: Setup, key: str, values: Values) -> str:
    if key.startswith(CUSTOM):
        name = key.removeprefix(CUSTOM)
        return to_text(setup.merger.fields[name], values.get("custom_fields", {}).get(name), setup.merger.reading.zone)
    value: Any = values.get(key)
    if value is None:
        return ""
    return FIELDS[key].text(Contact(**{key: value})) if key in ("phones", "tags") else str(value)
