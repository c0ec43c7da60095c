"""From the parts of a document to passages. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from base.text import to_stored

AIM = 700  # characters of a passage: a few sentences, little enough to be read aloud
LONGEST = 1_100
LONGEST_HEADING = 300
# Sentences end with a blank behind their sign; in Chinese and Japanese, and after a danda, there need not be one.
_SENTENCE = re.compile(r"(?<=[.!?…؟۔።])\s+|(?<=[。！？｡．।॥။។])\s*")
_CLAUSE = re.compile(r"[\s，、；;:：,،]")
_SPACE = re.compile(r"[ \t\r\f\v\u00a0\u3000]+")
_LINES = re.compile(r"\n{3,}")


class UnreadableError(ValueError):
    """The document cannot be read; the text says why, for the person who handed it in."""


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, a row of a table, an answer. `whole`: never joined with its neighbors."""

    text: str
    heading: str = ""
    place: str = ""
    whole: bool = False


def tidy(text: str) -> str:
    """Return text as it is kept: valid, composed, without runs of blanks."""
    return _LINES.sub("\n\n", _SPACE.sub(" ", to_stored(text))).strip()


def pack(blocks: Iterable[Block]) -> list[Block]:
    """Join short blocks of one heading, and cut long ones at the ends of sentences."""
    packed: list[Block] = []
    for block in blocks:
        heading = tidy(block.heading)[:LONGEST_HEADING]
        for text in _cut(tidy(block.text)):
            last = packed[-1] if packed else None
            fits = last is not None and last.heading == heading and not last.whole and not block.whole
            if last is not None and fits and len(last.text) + len(text) < AIM:
                packed[-1] = Block(f"{last.text}\n{text}", heading, last.place)
            else:
                packed.append(Block(text, heading, block.place, block.whole))
    return packed


def _cut(text: str) -> Iterator[str]:
    if len(text) <= LONGEST:
        if text:
            yield text
        return
    passage = ""
    for piece in _pieces(text):
        if passage and len(passage) + len(piece) > AIM:
            yield passage.strip()
            passage = ""
        passage += piece
    if passage.strip():
        yield passage.strip()


def _pieces(text: str) -> Iterator[str]:
    """Return sentences, with the blanks behind them; one that never ends is cut between words, else between letters."""
    start = 0
    for end in [*(match.end() for match in _SENTENCE.finditer(text)), len(text)]:
        while end - start > LONGEST:
            at = _cut_at(text, start)
            yield text[start:at]
            start = at
        yield text[start:end]
        start = end


def _cut_at(text: str, start: int) -> int:
    """Return where to cut a sentence that is too long: behind the last blank or comma, never before a mark of a letter."""
    clauses = [match.end() for match in _CLAUSE.finditer(text, start + AIM // 2, start + AIM)]
    if clauses:
        return clauses[-1]
    at = start + AIM
    while at > start + AIM // 2 and unicodedata.category(text[at]) in ("Mn", "Mc", "Cf"):
        at -= 1
    return at
