"""From the parts of a document to passages. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

AIM = 700  # characters of a passage: a few sentences, little enough to be read aloud
LONGEST = 1_100
LONGEST_HEADING = 300
_SENTENCE = re.compile(r"(?<=[.!?…])\s+")
_SPACE = re.compile(r"[ \t\r\f\v\u00a0]+")
_LINES = re.compile(r"\n{3,}")


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, a row of a table, an answer. `whole`: never joined with its neighbours."""

    text: str
    heading: str = ""
    place: str = ""
    whole: bool = False


def tidy(text: str) -> str:
    """Return text as it is kept: no NULs, no lone surrogates, no runs of blanks."""
    clean = text.replace("\0", "").encode("utf-8", "replace").decode()
    return _LINES.sub("\n\n", _SPACE.sub(" ", clean)).strip()


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
    piece = ""
    for sentence in _pieces(text):
        if piece and len(piece) + len(sentence) > AIM:
            yield piece
            piece = ""
        piece = f"{piece} {sentence}".strip()
    if piece:
        yield piece


def _pieces(text: str) -> Iterator[str]:
    """Return sentences; one that never ends is cut between words, and a word that never ends within."""
    for sentence in _SENTENCE.split(text):
        while len(sentence) > LONGEST:
            at = sentence.rfind(" ", AIM // 2, AIM)
            at = at if at > 0 else AIM
            yield sentence[:at]
            sentence = sentence[at:].strip()
        if sentence:
            yield sentence
