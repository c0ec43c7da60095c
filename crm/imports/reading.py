"""Rows of an uploaded file, one after the other, in memory that does not grow with the file."""

from __future__ import annotations

import csv
import io
import re
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time
from pathlib import PurePosixPath
from typing import IO, Any

from base.text import to_stored
from crm.imports.defusing import CELL_ERRORS, undo_defusing
from crm.imports.enums import FileKind
from crm.imports.errors import FileError
from crm.imports.models import ContactImport
from crm.imports.sealed import SealedReader, sealed_blocks

MAX_COLUMNS = 200
MAX_CELL = 1_000_000  # characters; what a field takes of them is the field's own limit
MAX_XLSX_UNPACKED = 1024**3
MAX_XLSX_PART = 200 * 1024**2  # all but the sheets is held in memory, the table of texts above all
MAX_XLSX_RATIO = 200
MAX_XLSX_PARTS = 5_000
_SEP = re.compile(r"sep=.\s*", re.IGNORECASE)  # Excel's own hint in the first line: no row of the list
_ZEROS = re.compile(r"0{2,20}")  # a number's format that shows leading zeros, as of postal codes

# Set for the whole process: nothing else here reads CSV with cells this long, and a lower limit would break us.
csv.field_size_limit(MAX_CELL)


class CellError(str):
    """What a cell of a spreadsheet says whose formula failed: `#N/A`. Nobody's name, and nothing to be kept."""

    __slots__ = ()


class CellNumber(str):
    """A number as a workbook holds it, with a point for its decimals, whatever its country writes."""

    __slots__ = ()


class Rows:
    """An iterator of `(number, cells)`, the file's first row being 1. Rows with nothing in them are passed over."""

    def __init__(self, source: Iterator[list[str]], share: Any) -> None:
        self._source = source
        self._share = share

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        for number, cells in enumerate(self._source, 1):
            if any(map(str.strip, cells)):
                if len(cells) > MAX_COLUMNS:
                    while cells and not cells[-1]:
                        cells.pop()
                    if len(cells) > MAX_COLUMNS:
                        raise FileError(
                            f"Row {number} has {len(cells)} columns; {MAX_COLUMNS} is the most that can be read."
                        )
                yield number, cells

    @property
    def share(self) -> float:
        """How much of the file has been read, 0 to 1."""
        return float(self._share())


@contextmanager
def open_rows(record: ContactImport, *, encoding: str = "") -> Iterator[Rows]:
    """Raises FileError, then or while rows are read. Another `encoding` shows what the file would say by it."""
    if record.kind == FileKind.CSV:
        with SealedReader(record.path) as raw:
            text = io.TextIOWrapper(io.BufferedReader(raw, 1 << 18), encoding or record.encoding, "replace", newline="")
            yield Rows(_csv_rows(text, record.delimiter), lambda: raw.position / max(record.size, 1))
        return
    with _plain_file(record.path) as file, open_workbook(file) as workbook:
        sheet = _sheet(workbook, record.sheet)
        seen = [0]
        claimed = sheet.max_row or 0  # what the file says of itself, and is asked before that is set aside
        yield Rows(_xlsx_rows(sheet, seen), lambda: min(1.0, seen[0] / claimed) if claimed else 0.0)


# --- CSV -------------------------------------------------------------------------------------------------------------


def _csv_rows(text: IO[str], delimiter: str) -> Iterator[list[str]]:
    lines = _Lines(text)
    # Strict, so that a quotation mark out of place is found at its row rather than swallowing those behind it.
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        begins = lines.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            cells = _misquoted(error, begins)
        yield [_csv_cell(cell) if cell[:1] in ("'", "#") else cell for cell in cells]


def _csv_cell(cell: str) -> str:
    return CellError(cell) if cell in CELL_ERRORS else undo_defusing(cell)


def _misquoted(error: csv.Error, begins: int) -> list[str]:
    words = str(error)
    if "field larger" in words:
        raise FileError(
            f"Line {begins}: a cell has more than {MAX_CELL:,} characters, or its quotation mark is never closed."
        )
    if "unexpected end" in words:
        raise FileError(f"Line {begins}: a quotation mark opens here and is never closed.")
    return [MISQUOTED]


# Stands for a row that cannot be cut into cells. No cell can be this: control characters are taken out.
MISQUOTED = "\0misquoted"


class _Lines:
    """A text's lines as text is stored (base.text), bounded in length."""

    def __init__(self, text: IO[str]) -> None:
        self._text = text
        self.number = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._text.readline(MAX_CELL * 4)
        if not line:
            raise StopIteration
        if len(line) >= MAX_CELL * 4:
            raise FileError(f"Line {self.number + 1} is too long to be a row of a list.")
        if self.number == 0:
            line = line.removeprefix("\ufeff")
            if _SEP.fullmatch(line):
                line = "\n"
        self.number += 1
        return to_stored(line)


# --- XLSX ------------------------------------------------------------------------------------------------------------


@contextmanager
def _plain_file(path: str) -> Iterator[IO[bytes]]:
    """A workbook is a ZIP file, which is read from its end: it needs a file, without a name and gone when closed."""
    with tempfile.TemporaryFile() as file:
        for block in sealed_blocks(path):
            file.write(block)
        file.seek(0)
        yield file


@contextmanager
def open_workbook(file: IO[bytes]) -> Iterator[Any]:
    """Raises FileError for what is no workbook, and for one that would unpack to something enormous."""
    import openpyxl

    check_workbook(file)
    try:
        workbook = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
    except Exception:  # whatever a library for a format of this size may raise about a broken file
        raise FileError("The workbook cannot be opened. Save it as XLSX or CSV once more and upload that file.") from None
    try:
        yield workbook
    finally:
        workbook.close()


def check_workbook(file: IO[bytes]) -> None:
    """Look at a ZIP file's table of contents, before anything is unpacked. Raises FileError."""
    try:
        with zipfile.ZipFile(file) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise FileError("The file is damaged: it begins like a workbook but cannot be opened.") from None
    finally:
        file.seek(0)
    if not any(part.filename == "xl/workbook.xml" for part in parts):
        names = {PurePosixPath(part.filename).name for part in parts[:1000]}
        what = "an OpenDocument file" if "mimetype" in names else "a compressed folder (ZIP), not a workbook"
        raise FileError(f"This is {what}. Save the contacts as CSV or XLSX and upload that file.")
    unpacked = sum(part.file_size for part in parts)
    packed = sum(part.compress_size for part in parts)
    bomb = unpacked > MAX_XLSX_UNPACKED or (unpacked > 50_000_000 and unpacked > packed * MAX_XLSX_RATIO)
    held = max(part.file_size for part in parts if not part.filename.startswith("xl/worksheets/"))
    if bomb or held > MAX_XLSX_PART or len(parts) > MAX_XLSX_PARTS:
        raise FileError(
            "The workbook would unpack to something far too large. Save the contacts as CSV and upload that file."
        )
    if any(part.flag_bits & 1 for part in parts):
        raise FileError("The workbook is protected with a password. Remove it and upload the file again.")


def sheets_of(path: str) -> list[str]:
    """Return the names of a workbook's sheets, those with data in them first. Raises FileError."""
    with _plain_file(path) as file, open_workbook(file) as workbook:
        sheets = workbook.worksheets
        filled = {sheet.title for sheet in sheets if _has_data(sheet)}
        return sorted((sheet.title for sheet in sheets), key=lambda title: title not in filled)


def _has_data(sheet: Any) -> bool:
    return any(any(cells) for _, cells in zip(range(100), _xlsx_rows(sheet, [0]), strict=False))


def _sheet(workbook: Any, title: str) -> Any:
    sheet = next((sheet for sheet in workbook.worksheets if sheet.title == title), None)
    if sheet is None:
        raise FileError("The workbook has no such sheet.")
    return sheet


def _xlsx_rows(sheet: Any, seen: list[int]) -> Iterator[list[str]]:
    # What a file says of its own size is not to be trusted: an empty sheet may claim a million columns.
    sheet.reset_dimensions()
    rows = sheet.iter_rows(max_col=MAX_COLUMNS + 50)
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except FileError:
            raise
        except Exception:
            raise FileError(f"The sheet cannot be read any further than row {seen[0]}.") from None
        seen[0] += 1
        yield [_xlsx_cell(cell) for cell in row]


def _xlsx_cell(cell: Any) -> str:
    value = cell.value
    if value is None:
        return ""
    if cell.data_type == "e":
        return CellError(value)
    text = cell_text(value)
    if type(text) is CellNumber and text.isdigit() and _ZEROS.fullmatch(cell.number_format or ""):
        return CellNumber(text.zfill(len(cell.number_format)))
    return text


def cell_text(value: Any) -> str:
    """
    >>> cell_text(True), cell_text(3.0), cell_text(datetime(2026, 11, 20)), cell_text("'=1")
    ('yes', '3', '2026-11-20', '=1')
    """
    if value is None:
        return ""
    if isinstance(value, str):
        text = to_stored(value[: MAX_CELL + 1])
        return undo_defusing(text) if text[:1] == "'" else text
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return CellNumber(value)
    if isinstance(value, float):
        return CellNumber(int(value) if value.is_integer() and abs(value) < 1e15 else repr(value))
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, date):
        return value.isoformat()
    return str(value)
