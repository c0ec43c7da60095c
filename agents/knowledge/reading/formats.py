"""Documents of every kind as blocks. Runs in a process of its own: what comes in was written by strangers.

What of a document could not be read, or hardly rightly, goes into `warnings`, for the person who handed it in.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from itertools import islice

from agents.knowledge.reading.blocks import Block, UnreadableError
from agents.knowledge.reading.decoding import decode
from agents.knowledge.reading.webpage import html_blocks, read_html
from agents.knowledge.reading.word import read_docx
from base.words import is_unspaced

MAX_PAGES = 2_000
MAX_ROWS = 50_000
_DELIMITERS = ",;\t|"
_ENDS = (".", "!", "?", ":", "。", "！", "？", "：", "।", "॥", "؟", "۔")


def read_text(data: bytes, warnings: list[str]) -> Iterator[Block]:
    for part in decode(data, warnings).split("\n\n"):
        yield Block(part)


def read_markdown(data: bytes, warnings: list[str]) -> Iterator[Block]:
    from markdown_it import MarkdownIt

    yield from html_blocks(MarkdownIt("commonmark").enable("table").render(decode(data, warnings)))


def read_csv(data: bytes, warnings: list[str]) -> Iterator[Block]:
    text = decode(data, warnings)
    before = csv.field_size_limit(len(text) + 1)  # of the whole process: others rely on theirs
    try:
        yield from _table(text)
    except csv.Error:
        raise UnreadableError("This is not a table: a line of it cannot be read.") from None
    finally:
        csv.field_size_limit(before)


def _table(text: str) -> Iterator[Block]:
    first, _, rest = text.partition("\n")
    if first[:4].lower() == "sep=" and len(first) == 5:  # Excel's way to say it
        text, delimiter, skipped = rest, first[4], 1
    else:
        delimiter, skipped = _delimiter(text), 0
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    names = [name.strip() for name in next(rows, [])]
    number = 1
    for number, row in enumerate(rows, start=2):
        if number > MAX_ROWS:
            raise UnreadableError(f"No more than {MAX_ROWS:,} rows, please.")
        facts = [f"{name}: {value.strip()}" if name else value.strip() for name, value in _pairs(names, row)]
        yield Block("\n".join(facts), place=f"row {number + skipped}", whole=True)
    if number == 1:
        yield Block("\n".join(names), place=f"row {1 + skipped}", whole=True)


def _delimiter(text: str) -> str:
    """Return what cuts the first rows into the most columns, most of them into as many as the first."""

    def fit(delimiter: str) -> tuple[float, int]:
        try:
            rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
            widths = [len(row) for row in islice(rows, 50)]
        except csv.Error:
            return 0.0, 0
        widths = [width for width in widths if width]
        if not widths or widths[0] < 2:
            return 0.0, 0
        return sum(width == widths[0] for width in widths) / len(widths), widths[0]

    return max(_DELIMITERS, key=fit)


def _pairs(names: list[str], row: list[str]) -> list[tuple[str, str]]:
    padded = names + [""] * (len(row) - len(names))
    return [(name, value) for name, value in zip(padded, row, strict=False) if value.strip()]


def read_pdf(data: bytes, warnings: list[str]) -> Iterator[Block]:
    import pypdf
    from pypdf.errors import PyPdfError

    faults = (PyPdfError, KeyError, ValueError, TypeError, AttributeError, IndexError, OverflowError, RecursionError)
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise UnreadableError("The PDF is locked with a password. Save it without one, and try again.")
        count = len(reader.pages)
    except faults as error:
        if isinstance(error, UnreadableError):
            raise
        raise UnreadableError("The PDF is damaged: it could not be read to its end.") from None
    if count > MAX_PAGES:
        raise UnreadableError(f"The PDF has more than {MAX_PAGES:,} pages. Hand it in in parts.")
    empty: list[int] = []
    broken: list[int] = []
    for number in range(1, count + 1):
        try:
            parts = _paragraphs(reader.pages[number - 1].extract_text() or "")
        except faults:
            broken.append(number)
            continue
        if not parts:
            empty.append(number)
        for part in parts:
            yield Block(part, place=f"page {number}")
    if len(broken) == count:
        raise UnreadableError("The PDF is damaged: it could not be read to its end.")
    if len(empty) + len(broken) == count:
        raise UnreadableError("The PDF holds pictures of text rather than text. Run text recognition over it first.")
    if broken:
        warnings.append(f"{_pages(broken)} could not be read: the PDF is damaged there.")
    if empty:
        has = "has" if len(empty) == 1 else "have"
        warnings.append(f"{_pages(empty)} {has} no text. Run text recognition over pictures of text, and upload it again.")


def _pages(numbers: list[int]) -> str:
    """Return pages as people write them.

    >>> _pages([2, 3, 4, 7])
    'Pages 2–4, 7'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    shown = [str(first) if first == last else f"{first}–{last}" for first, last in runs]
    more = f" and {len(shown) - 20} more places" if len(shown) > 20 else ""
    return f"{'Page' if len(numbers) == 1 else 'Pages'} {', '.join(shown[:20])}{more}"


def _paragraphs(text: str) -> list[str]:
    """Lines of a page, joined where a sentence goes on."""
    joined: list[str] = []
    for line in (line.strip() for line in text.splitlines()):
        if not line:
            joined.append("")
        elif joined and joined[-1] and not joined[-1].endswith(_ENDS):
            joined[-1] = joined[-1].removesuffix("-") + _gap(joined[-1], line) + line
        else:
            joined.append(line)
    return [part for part in joined if part]


def _gap(before: str, line: str) -> str:
    is_one_word = before.endswith("-") or (is_unspaced(before[-1]) and is_unspaced(line[0]))
    return "" if is_one_word else " "


READERS: dict[str, Callable[[bytes, list[str]], Iterator[Block]]] = {
    "pdf": read_pdf,
    "docx": read_docx,
    "html": read_html,
    "htm": read_html,
    "xhtml": read_html,
    "md": read_markdown,
    "markdown": read_markdown,
    "txt": read_text,
    "csv": read_csv,
}
