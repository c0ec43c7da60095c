"""Tables as text: a line for each row, each value beside the heading of its column. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

EMPTY = "–"  # what an empty cell reads as, so that nobody takes its neighbor's value for its own
LONGEST_NAME = 60  # characters of a column's heading; longer text is content
_VALUE = re.compile(r"\W*(?:[A-Z]{2,3}\s*)?\d")  # as an amount, a time or a number begins


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of the grid. Those that one merged cell covers are equal and have its `origin`."""

    text: str
    origin: int
    is_heading: bool = False


def table_lines(grid: Sequence[Sequence[Cell]], *, headings: int | None = None) -> Iterator[str]:
    """Return the rows as lines. `headings` is how many rows at the top name the columns; None: look for them.

    >>> rows = [["", "Mon", "Tue"], ["Haircut", "20 EUR", "20 EUR"], ["Beard", "15 EUR", ""]]
    >>> list(table_lines([[Cell(text, n * 3 + m) for m, text in enumerate(row)] for n, row in enumerate(rows)]))
    ['Haircut | Mon: 20 EUR | Tue: 20 EUR', 'Beard | Mon: 15 EUR | Tue: –']
    """
    grid = [row for row in grid if any(cell.text for cell in row)]
    width = max((len(row) for row in grid), default=0)
    if headings is None:
        headings = _headings(grid, width)
    if headings >= len(grid):
        headings = 0
    names = [_name([row[column] for row in grid[:headings] if column < len(row)]) for column in range(width)]
    for row in grid[headings:]:
        if width > 1 and len(row) == width and len({cell.origin for cell in row}) == 1:
            yield row[0].text  # one cell over all columns: a line between the rows
            continue
        facts = zip(names, (cell.text or EMPTY for cell in row), strict=False)
        yield " | ".join(f"{name}: {value}" if name else value for name, value in facts)


def _name(cells: Sequence[Cell]) -> str:
    return " ".join(dict.fromkeys(cell.text for cell in cells if cell.text))


def _headings(grid: Sequence[Sequence[Cell]], width: int) -> int:
    """Return how many rows at the top are headings: those marked so, or a first row that reads as one."""
    marked = 0
    for row in grid:
        if not all(cell.is_heading or not cell.text for cell in row):
            break
        marked += 1
    if marked or len(grid) < 2 or width < 2:
        return marked
    first = grid[0]
    if len({cell.origin for cell in first}) == 1 and width > 1:
        return 0
    names = [cell.text for cell in first[1:]]
    if not all(names) or any(len(name) > LONGEST_NAME for name in names) or len(first) < width:
        return 0
    if not first[0].text:
        return 1  # nothing stands in the corner between the names of rows and columns
    if any(map(_VALUE.match, names)):
        return 0
    below = [cell.text for row in grid[1:] for cell in row[1:] if cell.text]
    values = sum(map(bool, map(_VALUE.match, below)))
    if width == 2:
        return int(len(grid) > 2 and values == len(below))
    return int(len(set(names)) == len(names))
