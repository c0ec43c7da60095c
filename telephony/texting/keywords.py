"""Is a text nothing but a word that carriers everywhere understand? Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping

from telephony.texting.enums import Keyword


def bare(text: str) -> str:
    """Return a text without what does not count: case, width, spaces, punctuation and invisible characters."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in folded if unicodedata.category(c)[0] in "LNM")


def keyword_in(text: str, words: Mapping[Keyword, Iterable[str]]) -> Keyword | None:
    """Return what a text says when it is one of these words and nothing else; ` Stop. ` is, `stop by at five` is not.

    STOP comes first: where a word stands in two lists, the wish for silence counts.
    """
    said = bare(text)
    if not said:
        return None
    return next((keyword for keyword in Keyword if any(bare(word) == said for word in words.get(keyword, ()))), None)
