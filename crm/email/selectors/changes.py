"""Two texts side by side, as a person reads what changed between them. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

CONTEXT_LINES = 2
MAX_LINES = 2_000  # comparing takes time that grows with the square of them
MAX_WORDS = 400  # in a line
_WORDS = re.compile(r"\s+|\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Line:
    kind: str  # "same", "gone", "new" or "gap"
    number: int | None  # in the text it stands in
    pieces: tuple[tuple[str, bool], ...]  # a text, and whether it is what changed within the line


def changes(old: str, new: str) -> list[Line] | None:
    """Return the lines that differ and a few around them; none when nothing does, None when it is too much to compare."""
    before, after = old.split("\n"), new.split("\n")
    if before == after:
        return []
    if len(before) > MAX_LINES or len(after) > MAX_LINES:
        return None
    found: list[Line] = []
    for group in SequenceMatcher(None, before, after).get_grouped_opcodes(CONTEXT_LINES):
        if group[0][1] > 0 or found:
            found.append(Line("gap", None, ()))
        for kind, a, b, c, d in group:
            if kind == "equal":
                found += (_whole("same", c + at, text) for at, text in enumerate(after[c:d], 1))
            else:
                found += _replaced(before[a:b], a, after[c:d], c)
    return found


def _whole(kind: str, number: int, text: str) -> Line:
    return Line(kind, number, ((text, False),))


def _replaced(gone: Sequence[str], a: int, come: Sequence[str], c: int) -> Iterator[Line]:
    if len(gone) != len(come):
        yield from (_whole("gone", a + at, text) for at, text in enumerate(gone, 1))
        yield from (_whole("new", c + at, text) for at, text in enumerate(come, 1))
        return
    for at, (old, new) in enumerate(zip(gone, come, strict=True), 1):
        before, after = _within(old, new)
        yield Line("gone", a + at, before)
        yield Line("new", c + at, after)


Pieces = tuple[tuple[str, bool], ...]


def _within(old: str, new: str) -> tuple[Pieces, Pieces]:
    before, after = _WORDS.findall(old), _WORDS.findall(new)
    if max(len(before), len(after)) > MAX_WORDS:
        return ((old, False),), ((new, False),)
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    if matcher.quick_ratio() < 0.4:  # hardly a word in common: to mark them all would mark nothing
        return ((old, False),), ((new, False),)
    left, right = list[tuple[str, bool]](), list[tuple[str, bool]]()
    for kind, a, b, c, d in matcher.get_opcodes():
        left.append(("".join(before[a:b]), kind != "equal"))
        right.append(("".join(after[c:d]), kind != "equal"))
    return tuple(piece for piece in left if piece[0]), tuple(piece for piece in right if piece[0])
