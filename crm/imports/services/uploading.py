"""From an uploaded file to an import whose columns are known, or at least asked about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from crm.imports import mapping as columns
from crm.imports.enums import FileKind, ImportState
from crm.imports.errors import FileError, ImportStateError
from crm.imports.mapping import Guess
from crm.imports.models import ContactImport, KnownHeader
from crm.imports.reading import open_rows, sheets_of
from crm.imports.sealed import SealedWriter, delete_sealed
from crm.imports.services.claiming import hand_out
from crm.imports.sniffing import Sniffer, decode_sample, guess_delimiter
from crm.models import CustomField
from crm.models.setup import crm_settings
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
            name=_name(name), kind=kind, path=sealed.path, size=sniffer.size, region=crm_settings().phone_region, user=by
        )
        if kind == FileKind.CSV:
            record.encoding = sniffer.encoding()
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
    guesses = columns.guess_mapping(record.headers, fields, known)
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


def questions(record: ContactImport) -> dict[int, str]:
    """Return, by column, the field its header is almost the name of."""
    guesses = columns.guess_mapping(record.headers, custom_fields(), known_headers())
    return {position: guess.question for position, guess in enumerate(guesses) if guess.question}


def change_reading(
    *, record: ContactImport, encoding: str = "", delimiter: str = "", sheet: str = "", header_row: int | None = None
) -> None:
    """Read the file in another way than was guessed. Raises FileError, and ImportStateError once the import began."""
    _must_be_open(record)
    if record.kind == FileKind.CSV:
        record.encoding, record.delimiter = encoding or record.encoding, delimiter or record.delimiter
    else:
        record.sheet = sheet or record.sheet
    record.header_row = header_row
    describe(record, guess_header=False)
    record.state, record.error, record.checked, record.problems = ImportState.UPLOADED, "", None, None
    record.save()


def choose_columns(
    *, record: ContactImport, mapping: Sequence[str], day_format: str = "", region: str | None = None
) -> None:
    """Settle what the columns mean, remember it for the next file, and have the whole file checked.

    Raises ImportStateError with the faults of the mapping, or when the import already began.
    """
    _must_be_open(record)
    if faults := columns.mapping_faults(mapping, record.headers, custom_fields()):
        raise ImportStateError(" ".join(faults))
    with transaction.atomic():
        record.mapping = _with_new_fields(mapping, record.headers)
        _remember(record)
        values: dict[str, Any] = {"mapping": record.mapping, "day_format": day_format}
        values |= {"region": region} if region is not None else {}
        _move(record, ImportState.CHECKING, **values)
    transaction.on_commit(lambda: hand_out(record))


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


def _remember(record: ContactImport) -> None:
    now = timezone.now()
    meanings = dict(zip(map(columns.normalise, record.headers), record.mapping, strict=True))
    KnownHeader.objects.bulk_create(
        [KnownHeader(header=header, target=target, used_at=now) for header, target in meanings.items() if header],
        update_conflicts=True,
        unique_fields=["header"],
        update_fields=["target", "used_at"],
    )


def _must_be_open(record: ContactImport) -> None:
    if not is_open(record):
        raise ImportStateError("This import has begun. Upload the file again to read it in another way.")


def is_open(record: ContactImport) -> bool:
    """Nothing has been written yet, and the file is still there to be read in another way."""
    waiting = record.state in (ImportState.UPLOADED, ImportState.READY, ImportState.FAILED)
    return waiting and record.started_at is None and bool(record.path)


def _move(record: ContactImport, state: ImportState, **values: Any) -> None:
    """Raises ImportStateError when somebody else moved the import first."""
    values |= {"state": state, "error": "", "progress": 0, "runner": "", "heartbeat_at": timezone.now()}
    if not ContactImport.objects.filter(pk=record.pk, state=record.state, started_at=None).update(**values):
        raise ImportStateError("Somebody else has changed this import meanwhile. Look at it again.")
    for name, value in values.items():
        setattr(record, name, value)
