"""What callers say, compared with an organisation's phrases. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from crm.folding import fold

Answer = Literal["yes", "no", "unclear"]
LONGEST_ANSWER = 8  # words; who says more says more than yes or no
_WORD = re.compile(r"\w+", re.UNICODE)


def _plain(text: str) -> str:
    """Return a text as words with a blank on either side of each: so that phrases match whole words only."""
    return f" {' '.join(_WORD.findall(fold(text)))} "


def contains(text: str, phrases: Iterable[str]) -> bool:
    plain = _plain(text)
    return any(words in plain for words in map(_plain, phrases) if words.strip())


def yes_or_no(text: str, *, yes: Iterable[str], no: Iterable[str]) -> Answer:
    """Return what an answer means by its phrases; one that holds both, or neither, is unclear."""
    if len(_WORD.findall(fold(text))) > LONGEST_ANSWER:
        return "unclear"
    says_no = contains(text, no)
    # "No thanks" holds no yes, but "si" and "no" live in each other's languages: longer phrases are taken out first.
    says_yes = contains(_without(text, no), yes)
    if says_yes == says_no:
        return "unclear"
    return "yes" if says_yes else "no"


def _without(text: str, phrases: Iterable[str]) -> str:
    plain = _plain(text)
    for words in sorted(map(_plain, phrases), key=len, reverse=True):
        plain = plain.replace(words, " | ") if len(words.split()) > 1 else plain
    return plain
