"""What a question is looked up by: its words, those of the turns before when it says little itself. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from crm.folding import fold

MAX_TERMS = 24
FEW = 3  # a question of fewer words leans on what was said before
EARLIER_WEIGHT = 0.6
EARLIER_TURNS = 2
_WORD = re.compile(r"\w{2,40}", re.UNICODE)


@dataclass(frozen=True, slots=True)
class Term:
    word: str
    weight: float


def words_of(text: str) -> list[str]:
    """Return a text's words, folded, each once, in order."""
    return list(dict.fromkeys(_WORD.findall(fold(text))))


def terms_of(question: str, earlier: Sequence[str] = (), *, stop: frozenset[str] = frozenset()) -> list[Term]:
    """Return what to look for. `earlier` are the turns before, newest last; `stop` are words that mean nothing."""
    own = [word for word in words_of(question) if word not in stop]
    terms = {word: Term(word, 1.0) for word in own}
    if len(own) < FEW:
        for turn in reversed(earlier[-EARLIER_TURNS:]):
            for word in words_of(turn):
                if word not in stop:
                    terms.setdefault(word, Term(word, EARLIER_WEIGHT))
    return list(terms.values())[:MAX_TERMS]
