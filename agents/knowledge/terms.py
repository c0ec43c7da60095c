"""What a question is looked up by: its words, those of the turns before when it says little itself. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from base.words import is_unspaced, query_words

MAX_TERMS = 60  # the bits of a number, less a few: which of them a passage has is kept in one
FEW = 3  # a question of fewer words leans on what was said before
PAIR = 0.5  # of a word, that a pair of characters counts: of two neighboring pairs one mostly straddles two words
EARLIER_WEIGHT = 0.6
EARLIER_TURNS = 2


@dataclass(frozen=True, slots=True)
class Term:
    """A word or a pair of characters, with what it weighs beside the others of its question."""

    word: str
    weight: float
    is_earlier: bool = False  # of a turn before


def terms_of(question: str, earlier: Sequence[str] = (), *, stop: frozenset[str] = frozenset()) -> list[Term]:
    """Return what to look for, at most MAX_TERMS. `earlier` are the turns before, newest last; `stop` words mean nothing.

    A turn before helps in its own script only: who changes the language begins anew, and words of the old one would
    find what was asked before.
    """
    own = [word for word in query_words(question) if word not in stop]
    terms = {word: Term(word, _counts(word)) for word in own}
    if sum(map(_counts, own)) < FEW:
        scripts = {is_unspaced(word) for word in own or query_words(question)}
        for turn in reversed(earlier[-EARLIER_TURNS:]):
            for word in query_words(turn):
                if word not in stop and is_unspaced(word) in scripts:
                    terms.setdefault(word, Term(word, EARLIER_WEIGHT * _counts(word), is_earlier=True))
    return _sample(list(terms.values()))


def _counts(word: str) -> float:
    return PAIR if is_unspaced(word) else 1.0


def _sample(terms: list[Term]) -> list[Term]:
    """Return terms from all over a long question. Every second pair still covers all characters of a run."""
    if len(terms) <= MAX_TERMS:
        return terms
    terms = list(_without_overlaps(terms))
    step = max(1.0, len(terms) / MAX_TERMS)
    return [terms[int(number * step)] for number in range(min(MAX_TERMS, len(terms)))]


def _without_overlaps(terms: Iterable[Term]) -> Iterable[Term]:
    kept = ""
    for term in terms:
        if is_unspaced(term.word) and term.word[0] in kept[1:]:
            kept = ""  # it shares a character with the one before; the next one does not
            continue
        kept = term.word if is_unspaced(term.word) else ""
        yield term
