"""One tokenizer for every search: how text is folded, and which words it is found by, in every script.

`fold` makes spellings equal: case, accents, ligatures, full-width forms, final letters, vowel points of Hebrew and Arabic.
Vowel signs of Indic scripts stay: without them words are other words.

Scripts that are written without blanks (Chinese, Japanese, Thai, Lao, Khmer, Burmese, and Korean, whose particles cling to
words) are cut into pairs of characters, as search engines do: no dictionary is needed, and a word of two characters or more
is found wherever it stands.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise

MAX_WORD = 64  # characters; longer runs are no words, and are cut into pieces

# Marks that only modify a letter: dropped. Ranges of combining marks, Hebrew points, Arabic vowel signs, Devanagari nukta.
_ACCENTS = re.compile(
    "[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f"
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4"
    "\u06e7\u06e8\u06ea-\u06ed\u093c\u200b-\u200f\u2060\ufeff\u00ad]"
)
# Letters that no decomposition takes apart, as people without such a key write them.
_LETTERS = str.maketrans(
    {"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ħ": "h", "ŧ": "t", "ŋ": "n", "ı": "i"}
    | {"ĸ": "k", "ə": "e", "ى": "ي", "ک": "ك", "ی": "ي", "ؤ": "و", "ئ": "ي"}
)
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1100-\u11ff\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u3100-\u318f\u31a0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff"
)


def fold(text: str) -> str:
    """Return the text with all spellings of the same letters made equal; blanks and punctuation stay.

    >>> fold("Ștefan ŢEPEŞ, Strauß & Ёлкин")
    'stefan tepes, strauss & елкин'
    """
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return unicodedata.normalize("NFC", _ACCENTS.sub("", apart).translate(_LETTERS))


@lru_cache(maxsize=1)
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Return what finds a run (spaced or unspaced) and what cuts an unspaced run into letters with their marks."""
    marks = _marks()
    unspaced = re.compile(f"[{_UNSPACED}]")
    spaced_marks = "".join(c for c in marks if not unspaced.match(c))
    unspaced_marks = "".join(c for c in marks if unspaced.match(c))
    # `\w` has no marks, and has the underscore, which separates.
    run = (
        f"(?P<unspaced>(?:(?![^\\w{unspaced_marks}])[{_UNSPACED}])+)|(?P<spaced>(?:(?![_{_UNSPACED}])[\\w{spaced_marks}])+)"
    )
    return re.compile(run), re.compile(f"[^{unspaced_marks}][{unspaced_marks}]*|[{unspaced_marks}]+")


def _marks() -> str:
    return "".join(c for c in map(chr, range(0x300, 0x1FFFF)) if unicodedata.category(c) in ("Mn", "Mc"))


def query_words(text: str) -> list[str]:
    """Return the words to look for, folded, each once, in order: all of them are among `index_words` of a match.

    >>> query_words("Don't_panic, 退款政策 café")
    ['don', 't', 'panic', '退款', '款政', '政策', 'cafe']
    """
    return _words(text, single=False)


def index_words(text: str) -> list[str]:
    """Return the words a text is found by, folded, each once, in order.

    Of unspaced scripts these are pairs and single characters, so that a question of one character finds something.
    """
    return _words(text, single=True)


def is_unspaced(word: str) -> bool:
    """Tell whether a word is of a script without blanks, where one character can be a whole word."""
    return re.match(f"[{_UNSPACED}]", word) is not None


def _words(text: str, *, single: bool) -> list[str]:
    find_runs, cut = _patterns()
    found: dict[str, None] = {}
    for run in find_runs.finditer(fold(text)):
        if run.lastgroup == "spaced":
            word = run.group()
            for start in range(0, len(word), MAX_WORD):
                found[word[start : start + MAX_WORD]] = None
            continue
        letters = cut.findall(run.group())
        if single or len(letters) == 1:
            found |= dict.fromkeys(letters)
        found |= dict.fromkeys(first + second for first, second in pairwise(letters))
    return list(found)
