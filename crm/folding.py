"""Words made comparable for whatever compares them in Python: `base.words.fold`, with punctuation as blanks."""

from __future__ import annotations

import re

from django.contrib.postgres.search import SearchVectorField
from django.db import models

from base import words

_PUNCTUATION = re.compile(r"[^\w\s]|_")
# How the first version of the schema folded; a change of it would change that migration.
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
_MARKS = '.-_/@&,+:;()!?#*|"\\<>[]{}=~^'
_FROM = "".join(_ACCENTS.values()) + "’" + _MARKS
_TO = "".join(base * len(accented) for base, accented in _ACCENTS.items()) + " " + " " * len(_MARKS)


def fold(text: str) -> str:
    """
    >>> fold("O'Neil-Strauß")
    'o neil strauss'
    """
    folded = words.fold(text)
    return _PUNCTUATION.sub(lambda mark: mark.group() if words.query_words(mark.group()) else " ", folded)


class FoldedVector(models.Func):
    """What `Contact.search` was made of before `crm.searchwords`."""

    function = "to_tsvector"
    output_field = SearchVectorField()
    arg_joiner = " || ' ' || "
    template = f"to_tsvector('simple'::regconfig, translate(lower(%(expressions)s), '{_FROM}', '{_TO}'))"
