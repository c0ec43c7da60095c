"""What all vectors of the local model share, by script, to be taken away from them.

They point nearly the same way: unrelated texts are 0.8 alike, and more so in some scripts than in others, which says
nothing. Without what they share (center.json, made by `python -m bench.center`) unrelated texts are little alike, and
the same measure holds for every script. Pure.
"""

from __future__ import annotations

import re
from pathlib import Path

CENTER = Path(__file__).with_name("center.json")
OTHER = "other"
_SCRIPTS = {
    "latin": re.compile("[a-zA-Z\u00c0-\u024f\u1e00-\u1eff]"),
    "cjk": re.compile("[\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7ff\U00020000-\U0003ffff]"),
    "thai": re.compile("[\u0e00-\u0eff]"),
    "devanagari": re.compile("[\u0900-\u097f]"),
    "tamil": re.compile("[\u0b80-\u0bff]"),
    "arabic": re.compile("[\u0600-\u06ff]"),
    "cyrillic": re.compile("[\u0400-\u052f]"),
}


def script_of(text: str) -> str:
    """Return the script most letters are of, among those with a center of their own; else OTHER."""
    counts = {script: len(letters.findall(text)) for script, letters in _SCRIPTS.items()}
    counts["cjk"] *= 3  # a character says as much as three letters
    best = max(counts, key=lambda script: counts[script])
    return best if counts[best] else OTHER
