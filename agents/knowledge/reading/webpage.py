"""HTML as blocks: paragraphs under the headings they stand below, tables row by row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agents.knowledge.reading.blocks import Block, UnreadableError
from agents.knowledge.reading.decoding import declared_encoding, decode
from agents.knowledge.reading.tables import Cell, table_lines

MAX_SPAN = 100  # rows or columns of one cell
MAX_CELLS = 200_000  # of a table's grid
_HEADINGS = {"h1": 1, "h2": 2, "h3": 3, "h4": 4, "h5": 5, "h6": 6}
_TEXTS = {"p", "li", "dd", "dt", "blockquote", "pre", "figcaption", "caption", "td", "th"}
# fmt: off
_INLINE = {
    "a", "abbr", "b", "bdi", "bdo", "cite", "code", "data", "del", "em", "font", "i", "ins", "kbd", "label", "mark",
    "q", "s", "small", "span", "strong", "sub", "sup", "time", "u", "wbr",
}
# fmt: on
_SILENT = {"script", "style", "nav", "noscript", "template", "head", "svg", "iframe", "object"}


def read_html(data: bytes, warnings: list[str]) -> Iterator[Block]:
    yield from html_blocks(decode(data, warnings, declared=declared_encoding(data)))


def html_blocks(text: str) -> Iterator[Block]:
    """Yield paragraphs under the headings they stand below, outer headings first. Raises UnreadableError."""
    from lxml import etree, html  # type: ignore[import-untyped]

    # As bytes, of an encoding that is said: what the text itself declares, in its XML declaration or a meta element, no
    # longer counts, and lxml takes no text with such a declaration.
    parser = html.HTMLParser(encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True)
    try:
        tree = html.document_fromstring(text.encode() if text.strip() else b"<p></p>", parser=parser)
        yield from _walk(tree)
    except (etree.LxmlError, ValueError):
        raise UnreadableError("This is not HTML.") from None
    except RecursionError:
        raise UnreadableError("The document is too deeply nested to be read.") from None


def _walk(tree: Any) -> Iterator[Block]:
    path: list[tuple[int, str]] = []
    loose: list[str] = []

    def heading() -> str:
        return " › ".join(text for _, text in path)

    def visit(element: Any) -> Iterator[Block]:
        tag = _tag(element)
        if tag in _SILENT or not tag:
            return
        is_table = tag == "table" and not _is_layout(element)
        if tag in _HEADINGS or tag in _TEXTS or is_table:
            yield from flush()
        if tag in _HEADINGS:
            level = _HEADINGS[tag]
            path[:] = [entry for entry in path if entry[0] < level]
            if text := _flat(element):
                path.append((level, text))
        elif is_table:
            for line in _table(element):
                yield Block(line, heading())
        elif tag in _TEXTS and not _holds_blocks(element):
            yield Block(_flat(element), heading())
        else:
            if tag not in _INLINE:
                loose.append(" ")
            loose.append(element.text or "")
            for child in element:
                yield from visit(child)
                loose.append(child.tail or "")
            if tag not in _INLINE:
                loose.append(" ")
            if tag in _TEXTS:
                yield from flush()

    def flush() -> Iterator[Block]:
        text = " ".join("".join(loose).split())
        loose.clear()
        if text:
            yield Block(text, heading())

    yield from visit(tree)
    yield from flush()


def _tag(element: Any) -> str:
    return element.tag if isinstance(element.tag, str) else ""


def _holds_blocks(element: Any) -> bool:
    return any(_tag(one) in _TEXTS or _tag(one) in _HEADINGS or _tag(one) == "table" for one in element.iterdescendants())


def _is_layout(table: Any) -> bool:
    """Tell whether a table only places things: it holds another, or headings, or has one column."""
    if table.get("role") in ("presentation", "none"):
        return True
    if any(_tag(one) == "table" or _tag(one) in _HEADINGS for one in table.iterdescendants()):
        return True
    return all(len(_cells(row)) < 2 for row in _rows(table))


def _rows(table: Any) -> list[Any]:
    return [row for row in table.iterdescendants("tr") if next(row.iterancestors("table"), None) is table]


def _cells(row: Any) -> list[Any]:
    return [cell for cell in row if _tag(cell) in ("td", "th")]


def _table(table: Any) -> Iterator[str]:
    if (caption := table.find("caption")) is not None and (text := _flat(caption)):
        yield text
    grid: list[list[Cell]] = []
    hanging: dict[int, tuple[Cell, int]] = {}  # by column: a cell that reaches down, and how many rows it still covers
    count = 0
    for row in _rows(table):
        line: list[Cell] = []
        in_head = _tag(row.getparent()) == "thead"

        def take_hanging(line: list[Cell] = line) -> None:
            while (entry := hanging.get(len(line))) is not None:
                cell, left = entry
                if left == 1:
                    del hanging[len(line)]
                else:
                    hanging[len(line)] = (cell, left - 1)
                line.append(cell)

        for element in _cells(row):
            take_hanging()
            cell = Cell(_flat(element), count, in_head or _tag(element) == "th" or _is_bold(element))
            count += 1
            for _ in range(_span(element, "colspan")):
                if (down := _span(element, "rowspan")) > 1:
                    hanging[len(line)] = (cell, down - 1)
                line.append(cell)
        take_hanging()
        grid.append(line)
        if sum(map(len, grid)) > MAX_CELLS:
            raise UnreadableError(f"A table has more than {MAX_CELLS:,} cells.")
    yield from table_lines(grid)


def _is_bold(cell: Any) -> bool:
    def plain(element: Any) -> Iterator[str]:
        yield element.text or ""
        for child in element:
            if _tag(child) not in ("b", "strong"):
                yield from plain(child)
            yield child.tail or ""

    return not any(text.strip() for text in plain(cell))


def _span(element: Any, name: str) -> int:
    value = (element.get(name) or "1").strip()
    return min(MAX_SPAN, max(1, int(value))) if value.isascii() and value.isdigit() and len(value) < 6 else 1


def _flat(element: Any) -> str:
    """Return an element's text; what is not part of a line stands apart from its neighbors."""
    parts: list[str] = []

    def visit(one: Any) -> None:
        tag = _tag(one)
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
