"""From an uploaded file to an import whose columns are known, or at least asked about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from crm.enums import Status
from crm.imports import mapping as columns
from crm.imports.enums import OPEN, FileKind, ImportState
from crm.imports.errors import FileError, ImportStateError
from crm.imports.mapping import Guess
from crm.imports.models import ContactImport, KnownHeader
from crm.imports.reading import open_rows, sheets_of
from crm.imports.regions import likely_region
from crm.imports.rowplan import word_of
from crm.imports.sealed import SealedWriter, delete_sealed
from crm.imports.services.claiming import hand_out
from crm.imports.setup import owners
from crm.imports.sniffing import Sniffer, decode_sample, guess_delimiter
from crm.imports.vocabulary import normalise, recognize
from crm.models import CustomField
from crm.services.fields import save_field
from tenants.models import User

HEAD = 200  # rows looked at to learn how wide a file is


def upload_import(*, chunks: Iterable[bytes], name: str, by: User | None) -> ContactImport:
    """Keep a file, sealed, and guess how to read it. Raises FileError, and keeps nothing then."""
    sniffer = Sniffer()
    with SealedWriter() as sealed:
        for data in chunks:
            if sniffer.size + len(data) > settings.IMPORT_MAX_BYTES:
                raise FileError(too_large())
            sniffer.feed(data)
            sealed.write(data)
        kind = sniffer.kind()
    try:
        record = ContactImport(
            name=_name(name), kind=kind, path=sealed.path, size=sniffer.size, region=likely_region(), user=by
        )
        if kind == FileKind.CSV:
            guess = sniffer.guess()
            record.encoding, record.encoding_is_sure = guess.encoding, guess.is_sure
            record.rivals = list(guess.rivals)
            record.delimiter = guess_delimiter(decode_sample(sniffer.sample, record.encoding))
        else:
            record.sheets = sheets_of(record.path)
            record.sheet = record.sheets[0] if record.sheets else ""
        describe(record)
        record.save()
    except BaseException:
        delete_sealed(sealed.path)
        raise
    return record


def too_large() -> str:
    limit = settings.IMPORT_MAX_BYTES
    size = f"{limit // 1024**2} MB" if limit >= 1024**2 else f"{limit:,} bytes"
    return f"The file is larger than {size}. Split it into several files."


def _name(name: str) -> str:
    plain = PurePosixPath(name.replace("\\", "/")).name.replace("\0", "")
    return "".join(character for character in plain if character.isprintable())[-200:] or "contacts"


@dataclass(frozen=True, slots=True)
class Head:
    """The first rows of a file."""

    rows: list[tuple[int, list[str]]]
    header_row: int | None

    @property
    def data(self) -> list[tuple[int, list[str]]]:
        return [(number, cells) for number, cells in self.rows if number > (self.header_row or 0)]


def read_head(record: ContactImport, count: int = HEAD) -> Head:
    """Raises FileError."""
    with open_rows(record) as rows:
        return Head(list(islice(rows, count)), record.header_row)


def describe(record: ContactImport, *, guess_header: bool = True) -> list[Guess]:
    """Find out the columns and guess what they mean. Raises FileError for a file without rows."""
    fields, known = custom_fields(), known_headers()
    head = read_head(record)
    if not head.rows:
        raise FileError(
            "There is nothing in the file." if record.kind == FileKind.CSV else "There is nothing in this sheet."
        )
    if guess_header:
        by_number = dict(head.rows)
        first = [by_number.get(number, []) for number in range(1, 11)]
        record.header_row = columns.guess_header_row(first, fields, known)
        head = Head(head.rows, record.header_row)
    if not head.data:
        raise FileError("The file has names of columns, but no rows below them.")
    names = dict(head.rows).get(record.header_row or 0, [])
    record.headers = columns.name_columns(names, _width(names, [cells for _, cells in head.data]))
    preset = recognize(record.headers)
    record.preset = preset.key if preset else ""
    record.filled = sorted(
        {position for _, cells in head.data for position, cell in enumerate(cells[: len(record.headers)]) if cell.strip()}
    )
    guesses = columns.guess_mapping(record.headers, fields, known, record.filled)
    record.mapping = [guess.target for guess in guesses]
    return guesses


def _width(names: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """As wide as the header, or as most rows are when that is more: a column need not have a name."""
    widths = Counter(_filled(row) for row in rows)
    return max(_filled(names), widths.most_common(1)[0][0], 1)


def _filled(row: Sequence[str]) -> int:
    return max((position for position, cell in enumerate(row, 1) if cell.strip()), default=0)


def custom_fields() -> list[CustomField]:
    return list(CustomField.objects.filter(is_active=True))


def known_headers() -> dict[str, str]:
    return dict(KnownHeader.objects.values_list("header", "target"))


def guesses(record: ContactImport) -> list[Guess]:
    """Return what the product itself takes the columns for."""
    return columns.guess_mapping(record.headers, custom_fields(), known_headers(), record.filled)


def questions(record: ContactImport) -> dict[int, str]:
    """Return, by column, the field its header is almost the name of, or the wish it may hold ("" for an unclear one)."""
    found = enumerate(guesses(record))
    return {position: guess.question for position, guess in found if guess.question or guess.is_wish}


def change_reading(
    *, record: ContactImport, encoding: str = "", delimiter: str = "", sheet: str = "", header_row: int | None = None
) -> None:
    """Read the file in another way than was guessed. Raises FileError, and ImportStateError once the import began."""
    _must_be_open(record)
    if record.kind == FileKind.CSV:
        record.encoding, record.delimiter = encoding or record.encoding, delimiter or record.delimiter
        record.encoding_is_sure = record.encoding_is_sure or bool(encoding)
    else:
        record.sheet = sheet or record.sheet
    record.header_row = header_row
    describe(record, guess_header=False)
    record.state, record.error, record.checked, record.problems = ImportState.UPLOADED, "", None, None
    record.decided, record.findings, record.answers = None, None, None
    record.save()


def choose_columns(
    *,
    record: ContactImport,
    mapping: Sequence[str],
    day_format: str = "",
    decimal_mark: str = "",
    region: str | None = None,
) -> None:
    """Settle what the columns mean, remember what a person chose for the next file, and have the whole file checked.

    Raises ImportStateError with the faults of the mapping, or when the import already began.
    """
    _must_be_open(record)
    if not record.encoding_is_sure:
        raise ImportStateError("It is not certain how the file's characters are encoded. Choose the encoding first.")
    if faults := columns.mapping_faults(mapping, record.headers, custom_fields()):
        raise ImportStateError(" ".join(faults))
    proposed = [guess.target for guess in guesses(record)]
    with transaction.atomic():
        record.mapping = _with_new_fields(mapping, record.headers)
        _remember(record, proposed)
        values: dict[str, Any] = {"mapping": record.mapping, "day_format": day_format, "decimal_mark": decimal_mark}
        values |= {"region": region} if region is not None else {}
        _move(record, ImportState.CHECKING, **values, answers=None)
    transaction.on_commit(lambda: hand_out(record))


def answer_questions(
    *,
    record: ContactImport,
    day_format: str | None = None,
    decimal_mark: str | None = None,
    region: str | None = None,
    words: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Take answers to what the check asked, and have the file checked again with them.

    `words` are, by target, meanings of words: a status, the id of an owner, "yes" or "no", "" for nothing. Raises
    ImportStateError for an answer that is none, or when the import already began.
    """
    _must_be_open(record)
    given = {"day_format": day_format, "decimal_mark": decimal_mark, "region": region}
    values: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    known = (record.answers or {}).get("words", {})
    answered = {target: {**known.get(target, {}), **_meanings(target, asked)} for target, asked in (words or {}).items()}
    _move(record, ImportState.CHECKING, **values, answers={"words": {**known, **answered}})
    transaction.on_commit(lambda: hand_out(record))


def _meanings(target: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    possible: Collection[Any]
    if target == "status":
        possible = Status.values
    elif target == columns.OWNER:
        possible = set(owners().values())
    elif target in columns.WISHES:
        possible = ("yes", "no")
    else:
        raise ImportStateError(f"There are no words to be explained for “{target[:40]}”.")
    for word, meaning in asked.items():
        if meaning not in ("", *possible):
            raise ImportStateError(f"“{word[:40]}” cannot mean “{str(meaning)[:40]}”.")
    return {word_of(word): meaning for word, meaning in asked.items()}


def _with_new_fields(mapping: Sequence[str], headers: Sequence[str]) -> list[str]:
    taken = set(CustomField.objects.values_list("key", flat=True))
    settled = []
    for target, header in zip(mapping, headers, strict=True):
        if target.startswith(columns.NEW):
            key = columns.key_for(header, taken)
            taken.add(key)
            save_field(field=CustomField(key=key, label=header[:80], type=target.removeprefix(columns.NEW)))
            target = columns.CUSTOM + key
        settled.append(target)
    return settled


def _remember(record: ContactImport, proposed: Sequence[str]) -> None:
    """Remember what a person made of a column that the product took for something else, or for nothing.

    A column left out is not remembered, so no file can lose one silently; nor are two columns of one name.
    """
    names = [normalise(header) for header in record.headers]
    once = {name for name, times in Counter(names).items() if times == 1 and name}
    now = timezone.now()
    KnownHeader.objects.bulk_create(
        [
            KnownHeader(header=name, target=target, used_at=now)
            for name, target, was in zip(names, record.mapping, proposed, strict=True)
            if name in once and target not in ("", was, columns.IGNORE)
        ],
        update_conflicts=True,
        unique_fields=["header"],
        update_fields=["target", "used_at"],
    )


def _must_be_open(record: ContactImport) -> None:
    if not is_open(record):
        raise ImportStateError("This import has begun. Upload the file again to read it in another way.")


def is_open(record: ContactImport) -> bool:
    """Nothing has been written yet, and the file is still there to be read in another way."""
    waiting = record.state in (*OPEN, ImportState.FAILED)
    return waiting and record.started_at is None and bool(record.path)


def _move(record: ContactImport, state: ImportState, **values: Any) -> None:
    """Raises ImportStateError when somebody else moved the import first."""
    values |= {"state": state, "error": "", "progress": 0, "runner": "", "heartbeat_at": timezone.now()}
    if not ContactImport.objects.filter(pk=record.pk, state=record.state, started_at=None).update(**values):
        raise ImportStateError("Somebody else has changed this import meanwhile. Look at it again.")
    for name, value in values.items():
        setattr(record, name, value)
