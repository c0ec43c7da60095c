"""How words are made comparable: lower case, without accents, cut at punctuation. The database does the same."""

from __future__ import annotations

import re

_ACCENTS = {
    "a": "àáâãäåāăą",
    "c": "çćĉċč",
    "d": "ďđ",
    "e": "èéêëēĕėęě",
    "g": "ĝğġģ",
    "i": "ìíîïĩīĭįı",
    "l": "ĺļľł",
    "n": "ñńņň",
    "o": "òóôõöøōŏő",
    "r": "ŕŗř",
    "s": "śŝşš",
    "t": "ţťŧ",
    "u": "ùúûüũūŭůűų",
    "y": "ýÿŷ",
    "z": "źżž",
}
_PUNCTUATION = '.-_/@&,+:;()!?#*|"\\<>[]{}=~^'
FOLD_FROM = "".join(_ACCENTS.values()) + "’" + _PUNCTUATION
FOLD_TO = "".join(base * len(accented) for base, accented in _ACCENTS.items()) + " " + " " * len(_PUNCTUATION)
_TABLE = str.maketrans(FOLD_FROM, FOLD_TO)
_WORD = re.compile(r"\w+", re.UNICODE)


def fold(text: str) -> str:
    return text.lower().translate(_TABLE)


def prefix_query(text: str) -> str:
    """Return a `to_tsquery` text that matches every word of `text` as the beginning of a word; empty for none.

    >>> prefix_query("Zoë Mül")
    'zoe:* & mul:*'
    """
    return " & ".join(f"{word}:*" for word in _WORD.findall(fold(text)))
