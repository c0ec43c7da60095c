"""What to call a person: the given name, out of a name written in full. No I/O.

People write `Dr. Ann Miller`, `Miller, Ann`, `van der Berg, Jan`, or only `Prof. Meier`. A greeting with a title or a
surname alone ("Dear Dr.", "Dear Meier") is worse than none, so wherever it is not clear nothing is returned.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from base.text import to_stored

_WORDS = json.loads((Path(__file__).parent / "data" / "names.json").read_text())
TITLES = frozenset(_WORDS["titles"].split())  # words before a name that are not part of it, without their dots
_SUFFIXES = frozenset(_WORDS["suffixes"].split())  # words behind a name: Jr., PhD
_PARTICLES = frozenset(_WORDS["particles"].split())  # words that begin a surname: van der Berg
_ORGANIZATION = frozenset(_WORDS["organization"].split())  # words that no person's name has
_SURNAMES_FIRST = frozenset(_WORDS["surname_first"].split())  # surnames of languages that write them first
# Given names of two words; the second would otherwise be lost: "Dear Mary" to somebody called Mary Ann.
_PAIRS = {first: frozenset(second.split()) for first, second in _WORDS["pairs"].items()}
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]")
_DOT = re.compile(r"(?<=\w{2})\.(?=\w)")  # `Dr.Ann`
_NICKNAME = re.compile('[(\\["“„][^)\\]"”“]*[)\\]"”“]')


def given_name(full: str) -> str:
    """Return the given name of a person, or an empty text where that is not certain.

    >>> [given_name(name) for name in ("Dr. Ann Miller", "van der Berg, Jan", "Mary Ann Smith", "Prof. Meier")]
    ['Ann', 'Jan', 'Mary Ann', '']
    """
    text = " ".join(_DOT.sub(". ", _NICKNAME.sub(" ", to_stored(full))).split())
    if not text or _UNSPACED.search(text) or any(c.isdigit() or c in "@/|;" for c in text):
        return ""
    before, _, behind = text.partition(",")
    parts = [part.split() for part in behind.split(",") if part.strip()]
    parts = [part for part in parts if not all(map(_is_suffix, part))]
    if len(parts) > 1:
        return ""
    if parts:  # "Last, First"; "Meier, Prof." says nothing but the surname
        return _first(_bare(parts[0])) if before.strip() else ""
    if "," in text and len(before.split()) < 2:
        return ""
    words = _bare(before.split())
    had_title = len(words) < len(before.split())
    while len(words) > 1 and _is_suffix(words[-1]):
        words = words[:-1]
    if len(words) == 1:  # behind a title one word is a surname; alone it is what they are called
        return "" if had_title else _first(words)
    return "" if words and _plain(words[0]) in _SURNAMES_FIRST else _first(words)


def _bare(words: list[str]) -> list[str]:
    """Return the words of a name without the titles before it."""
    while words and _is_title(words[0]):
        words = words[1:]
    return words


def _first(words: list[str]) -> str:
    """Return the first word that can be said and is no initial; nothing for a surname that is left, or an organization."""
    if not words or _plain(words[0]) in _PARTICLES or any(_plain(word) in _ORGANIZATION for word in words):
        return ""
    for position, word in enumerate(words):
        if word.endswith(".") or len(_plain(word)) < 2:
            continue
        behind = words[position + 1 :]
        if position and not behind:
            return ""  # all before it were initials, so this is the surname
        pair = behind and _plain(behind[0]) in _PAIRS.get(_plain(word), ())
        is_double = pair and (len(behind) > 1 or not position)
        return " ".join(map(_written, (word, behind[0]))) if is_double else _written(word)
    return ""


def _written(word: str) -> str:
    """Return a name that is in capitals or small letters throughout as names are written."""
    word = word.strip(".,;:'’\"")
    return "-".join(part.capitalize() for part in word.split("-")) if word.isupper() or word.islower() else word


def _plain(word: str) -> str:
    return word.strip(",;:").replace(".", "").casefold()


def _is_title(word: str) -> bool:
    plain = _plain(word)
    # `M.` and `D.` are initials more often than titles, and `Don` and `Major` are names without a dot.
    if plain in ("d", "don", "do", "me", "ra", "nat", "phil", "med", "justice", "judge", "major", "general", "arch", "mag"):
        return word.endswith(".") and len(plain) > 1
    return plain in TITLES or all(part in TITLES for part in re.split(r"[.\-]+", word.casefold().strip(".")) if part)


def _is_suffix(word: str) -> bool:
    return _plain(word) in _SUFFIXES
