"""Word documents as blocks."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

from agents.knowledge.reading.blocks import Block, UnreadableError
from agents.knowledge.reading.tables import Cell, table_lines

MAX_UNPACKED_BYTES = 200 * 1024 * 1024
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
# ECMA-376 part 1: what stands around text without being of it, and what is no longer, or not yet, text.
_AROUND = [
    f"{_W}{name}" for name in ("sdt", "sdtContent", "ins", "moveTo", "smartTag", "customXml", "fldSimple", "dir", "bdo")
]
_GONE = [f"{_W}{name}" for name in ("del", "moveFrom", "sdtPr", "sdtEndPr", "customXmlPr", "smartTagPr")]
_NOTES = {"footnotes": "Footnotes", "endnotes": "Endnotes"}
DAMAGED = "This is not a Word document, or it is damaged."


def read_docx(data: bytes, warnings: list[str]) -> Iterator[Block]:
    _check_unpacked(data)
    import docx
    from docx.opc.exceptions import PackageNotFoundError
    from lxml import etree  # type: ignore[import-untyped]

    try:
        document = docx.Document(io.BytesIO(data))
        body = document.element.body
        _unwrap(body)
        yield from _blocks(document, body)
        yield from _notes(document)
    except UnreadableError:
        raise
    except (PackageNotFoundError, etree.LxmlError, KeyError, ValueError, AttributeError, TypeError, zipfile.BadZipFile):
        raise UnreadableError(DAMAGED) from None
    except RecursionError:
        raise UnreadableError("The document is too deeply nested to be read.") from None


def _check_unpacked(data: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except zipfile.BadZipFile:
        raise UnreadableError(DAMAGED) from None
    if unpacked > MAX_UNPACKED_BYTES:
        raise UnreadableError("The document is far larger than it looks, and is not opened.")


def _unwrap(body: Any) -> None:
    """Put what stands in content controls, fields and tracked insertions in their place; take deletions away."""
    for row in list(body.iter(f"{_W}tr")):
        if row.find(f"{_W}trPr/{_W}del") is not None:
            row.getparent().remove(row)
    for element in [*body.iter(_FALLBACK), *body.iter(*_GONE)]:
        if (parent := element.getparent()) is not None:
            parent.remove(element)
    for element in list(body.iter(*_AROUND)):
        parent = element.getparent()
        at = parent.index(element)
        parent[at : at + 1] = list(element)


def _blocks(document: Any, parent: Any) -> Iterator[Block]:
    path: list[tuple[int, str]] = []
    for element in parent:
        heading = " › ".join(text for _, text in path)
        if element.tag == f"{_W}tbl":
            for line in table_lines(_grid(element)):
                yield Block(line, heading)
        elif element.tag == f"{_W}p":
            text = _text(element)
            level = _level(document, element)
            if level is None or not text.strip():
                yield Block(text, heading)
            else:
                path = [entry for entry in path if entry[0] < level] + [(level, text.strip())]
        for box in element.iter(f"{_W}txbxContent"):
            yield from (Block(_text(paragraph), heading) for paragraph in box.iter(f"{_W}p"))


def _text(paragraph: Any) -> str:
    """Return a paragraph's own text: of its runs, not of the boxes that hang on it."""
    parts: list[str] = []
    for element in paragraph.iter(f"{_W}t", f"{_W}tab", f"{_W}br", f"{_W}cr", f"{_W}noBreakHyphen"):
        if next(element.iterancestors(f"{_W}p")) is not paragraph or element.getparent().tag != f"{_W}r":
            continue
        name = element.tag.removeprefix(_W)
        parts.append({"t": element.text or "", "tab": " ", "noBreakHyphen": "-"}.get(name, "\n"))
    return "".join(parts)


def _level(document: Any, paragraph: Any) -> int | None:
    """Return the level of a heading, 0 of the title; None of any other paragraph."""
    from docx.text.paragraph import Paragraph

    style = Paragraph(paragraph, document).style
    name = (style.name or "") if style is not None else ""
    if name == "Title":
        return 0
    return int(name[8:]) if name.startswith("Heading ") and name[8:].isdigit() else None


def _grid(table: Any) -> list[list[Cell]]:
    grid: list[list[Cell]] = []
    count = 0
    for row in table.iterchildren(f"{_W}tr"):
        line = [Cell("", -1) for _ in range(_number(row, "trPr", "gridBefore"))]
        is_heading = row.find(f"{_W}trPr/{_W}tblHeader") is not None
        for element in row.iterchildren(f"{_W}tc"):
            merged = element.find(f"{_W}tcPr/{_W}vMerge")
            goes_on = merged is not None and merged.get(f"{_W}val", "continue") == "continue"
            if goes_on and grid and len(line) < len(grid[-1]):
                cell = grid[-1][len(line)]
            else:
                texts = (_text(paragraph).strip() for paragraph in element.iter(f"{_W}p"))
                cell = Cell(" ".join(" ".join(filter(None, texts)).split()), count, is_heading or _is_bold(element))
                count += 1
            line += [cell] * max(1, _number(element, "tcPr", "gridSpan"))
        grid.append(line)
    return grid


def _number(element: Any, properties: str, name: str) -> int:
    found = element.find(f"{_W}{properties}/{_W}{name}")
    value = found.get(f"{_W}val", "") if found is not None else ""
    return min(100, int(value)) if value.isascii() and value.isdigit() and len(value) < 6 else 0


def _is_bold(cell: Any) -> bool:
    runs = [run for run in cell.iter(f"{_W}r") if "".join(run.itertext()).strip()]
    bold = [run.find(f"{_W}rPr/{_W}b") for run in runs]
    return bool(runs) and all(one is not None and one.get(f"{_W}val", "1") not in ("0", "false") for one in bold)


def _notes(document: Any) -> Iterator[Block]:
    """Footnotes and endnotes, which python-docx does not know; Word's own lines between them have a type."""
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    for relation in document.part.rels.values():
        heading = _NOTES.get(relation.reltype.rsplit("/", 1)[-1])
        if heading is None or relation.is_external:
            continue
        root = etree.fromstring(relation.target_part.blob, parser)
        _unwrap(root)
        for note in root:
            if note.get(f"{_W}type") is None:
                yield Block(" ".join(_text(paragraph) for paragraph in note.iter(f"{_W}p")), heading)
