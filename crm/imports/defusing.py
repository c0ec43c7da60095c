"""Cells that a spreadsheet would run as a formula, made harmless, and read back as they were.

A cell that begins with one of `= + - @`, a tab or a line end gets an apostrophe in front, which spreadsheets show as
text. Plain numbers and telephone numbers are left alone: digits and their punctuation cannot call anything. A cell that
already has such an apostrophe gets another, so that reading takes off exactly what writing put on. A text that reads like
a spreadsheet's error is guarded likewise: an error is nothing, and a text is a text.
"""

from __future__ import annotations

import re

CELL_ERRORS = frozenset(
    [
        "#N/A",
        "#NV",
        "#REF!",
        "#BEZUG!",
        "#NAME?",
        "#VALUE!",
        "#WERT!",
        "#DIV/0!",
        "#NULL!",
        "#NUM!",
        "#ZAHL!",
        "#SPILL!",
        "#CALC!",
        "#FIELD!",
        "#BLOCKED!",
        "#CONNECT!",
        "#BUSY!",
        "#UNKNOWN!",
        "#GETTING_DATA",
        "#ERROR!",
    ]
)
_ERROR = rf"(?:{'|'.join(map(re.escape, sorted(CELL_ERRORS)))})\Z"
_RISKY = re.compile(rf"'*(?:[=+\-@\t\r\n＝＋－＠]|{_ERROR})")
_NUMBERS = re.compile(r"[+\-]?\d[\d .,;+]*")
_DEFUSED = re.compile(rf"'{_RISKY.pattern}")


def defuse(text: str) -> str:
    """
    >>> defuse("=1+1"), defuse("+15550100"), defuse("'=1")
    ("'=1+1", '+15550100', "''=1")
    """
    return "'" + text if _RISKY.match(text) and not _NUMBERS.fullmatch(text) else text


def undo_defusing(text: str) -> str:
    return text[1:] if text[:1] == "'" and _DEFUSED.match(text) else text
