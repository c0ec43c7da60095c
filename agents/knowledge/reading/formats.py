"""Documents of every kind as blocks. Runs in a process of its own: what comes in was written by strangers."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

from agents.knowledge.reading.blocks import Block

MAX_UNPACKED_BYTES = 200 * 1024 * 1024
MAX_PAGES = 2_000
MAX_ROWS = 50_000
_HEADINGS = {"h1": 1, "h2": 2, "h3": 3, "h4": 4, "h5": 5, "h6": 6}
_TEXTS = {"p", "li", "dd", "dt", "blockquote", "pre", "figcaption", "td", "th"}
_INLINE = {
    "a",
    "abbr",
    "b",
    "cite",
    "code",
    "del",
    "em",
    "i",
    "ins",
    "mark",
    "q",
    "s",
    "small",
    "span",
    "strong",
    "sub",
    "sup",
    "u",
}
_SILENT = {"script", "style", "nav", "noscript", "template", "head", "svg", "iframe", "form"}


class UnreadableError(ValueError):
    """The document cannot be read; the text says why, for the person who handed it in."""


def read_text(data: bytes) -> Iterator[Block]:
    for part in _decode(data).split("\n\n"):
        yield Block(part)


def read_markdown(data: bytes) -> Iterator[Block]:
    from markdown_it import MarkdownIt

    yield from read_html(MarkdownIt("commonmark").enable("table").render(_decode(data)).encode())


def read_html(data: bytes) -> Iterator[Block]:
    from lxml import etree, html  # type: ignore[import-untyped]

    try:
        tree = html.document_fromstring(_decode(data) or "<p></p>", parser=html.HTMLParser(encoding=None, no_network=True))
    except (etree.ParserError, ValueError):
        raise UnreadableError("This is not HTML.") from None
    yield from _walk(tree)


def _walk(tree: Any) -> Iterator[Block]:
    """Yield paragraphs under the headings they stand below, outer headings first; rows of tables as one block."""
    path: list[tuple[int, str]] = []
    loose: list[str] = []

    def heading() -> str:
        return " › ".join(text for _, text in path)

    def visit(element: Any) -> Iterator[Block]:
        tag = element.tag if isinstance(element.tag, str) else ""
        if tag in _SILENT or not tag:
            return
        if tag in _HEADINGS or tag in _TEXTS or tag == "tr":
            yield from flush()
        if tag in _HEADINGS:
            level = _HEADINGS[tag]
            path[:] = [entry for entry in path if entry[0] < level]
            path.append((level, _flat(element)))
        elif tag == "tr":
            cells = [_flat(cell) for cell in element if isinstance(cell.tag, str)]
            yield Block(" | ".join(cell for cell in cells if cell), heading())
        elif tag in _TEXTS and not any(child.tag in _TEXTS for child in element.iter() if child is not element):
            yield Block(_flat(element), heading())
        else:
            loose.append(element.text or "")
            for child in element:
                yield from visit(child)
                loose.append(child.tail or "")

    def flush() -> Iterator[Block]:
        text = " ".join(" ".join(loose).split())
        loose.clear()
        if text:
            yield Block(text, heading())

    yield from visit(tree)
    yield from flush()


def _flat(element: Any) -> str:
    """Return an element's text; what is not part of a line stands apart from its neighbours."""
    parts: list[str] = []

    def visit(one: Any) -> None:
        tag = one.tag if isinstance(one.tag, str) else ""
        if not tag or tag in _SILENT:
            return
        gap = "" if tag in _INLINE else " "
        parts.append(gap + (one.text or ""))
        for child in one:
            visit(child)
            parts.append(child.tail or "")
        parts.append(gap)

    visit(element)
    return " ".join("".join(parts).split())


def read_csv(data: bytes) -> Iterator[Block]:
    text = _decode(data)
    try:
        dialect: Any = csv.Sniffer().sniff(text[:4096], delimiters=",;\t|")
    except csv.Error:
        dialect = csv.excel
    rows = csv.reader(io.StringIO(text), dialect)
    try:
        names = [name.strip() for name in next(rows, [])]
        for number, row in enumerate(rows, start=2):
            if number > MAX_ROWS:
                raise UnreadableError(f"No more than {MAX_ROWS:,} rows, please.")
            facts = [f"{name}: {value.strip()}" if name else value.strip() for name, value in _pairs(names, row)]
            yield Block("\n".join(facts), place=f"row {number}", whole=True)
    except csv.Error:
        raise UnreadableError("This is not a table: a line of it cannot be read.") from None


def _pairs(names: list[str], row: list[str]) -> list[tuple[str, str]]:
    padded = names + [""] * (len(row) - len(names))
    return [(name, value) for name, value in zip(padded, row, strict=False) if value.strip()]


def read_pdf(data: bytes) -> Iterator[Block]:
    import pypdf
    from pypdf.errors import PyPdfError

    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise UnreadableError("The PDF is locked with a password. Save it without one, and try again.")
        if len(reader.pages) > MAX_PAGES:
            raise UnreadableError(f"The PDF has more than {MAX_PAGES:,} pages. Hand it in in parts.")
        found = False
        for number, page in enumerate(reader.pages, start=1):
            for part in _paragraphs(page.extract_text() or ""):
                found = True
                yield Block(part, place=f"page {number}")
    except (PyPdfError, KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, UnreadableError):
            raise
        raise UnreadableError("The PDF is damaged: it could not be read to its end.") from None
    if not found:
        raise UnreadableError("The PDF holds pictures of text rather than text. Run text recognition over it first.")


def _paragraphs(text: str) -> list[str]:
    """Lines of a page, joined where a sentence goes on."""
    joined: list[str] = []
    for line in (line.strip() for line in text.splitlines()):
        if not line:
            joined.append("")
        elif joined and joined[-1] and not joined[-1].endswith((".", "!", "?", ":")):
            joined[-1] = joined[-1].removesuffix("-") + ("" if joined[-1].endswith("-") else " ") + line
        else:
            joined.append(line)
    return [part for part in joined if part]


def read_docx(data: bytes) -> Iterator[Block]:
    _check_unpacked(data)
    import docx
    from docx.opc.exceptions import PackageNotFoundError
    from docx.table import Table

    try:
        document = docx.Document(io.BytesIO(data))
        path: list[tuple[int, str]] = []
        for part in document.iter_inner_content():
            heading = " › ".join(text for _, text in path)
            if isinstance(part, Table):
                for row in part.rows:
                    cells = list(dict.fromkeys(cell.text.strip() for cell in row.cells))
                    yield Block(" | ".join(cell for cell in cells if cell), heading)
                continue
            style = (part.style.name or "") if part.style is not None else ""
            if style.startswith(("Heading ", "Title")) and part.text.strip():
                level = int(style[8:]) if style[8:].isdigit() else 0
                path = [entry for entry in path if entry[0] < level] + [(level, part.text.strip())]
            else:
                yield Block(part.text, heading)
    except (PackageNotFoundError, KeyError, ValueError, zipfile.BadZipFile):
        raise UnreadableError("This is not a Word document, or it is damaged.") from None


def _check_unpacked(data: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except zipfile.BadZipFile:
        raise UnreadableError("This is not a Word document, or it is damaged.") from None
    if unpacked > MAX_UNPACKED_BYTES:
        raise UnreadableError("The document is far larger than it looks, and is not opened.")


def _decode(data: bytes) -> str:
    for encoding in ("utf-8-sig", "utf-16") if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig",):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("cp1252", "replace")


READERS: dict[str, Callable[[bytes], Iterator[Block]]] = {
    "pdf": read_pdf,
    "docx": read_docx,
    "html": read_html,
    "htm": read_html,
    "md": read_markdown,
    "markdown": read_markdown,
    "txt": read_text,
    "csv": read_csv,
}
