"""Cells that a spreadsheet would run as a formula, made harmless, and read back as they were.

A cell that begins with one of `= + - @`, a tab or a line end gets an apostrophe in front, which spreadsheets show as
text. Plain numbers and telephone numbers are left alone: digits and their punctuation cannot call anything. A cell that
already has such an apostrophe gets another, so that reading takes off exactly what writing put on.
"""

from __future__ import annotations

import re

_RISKY = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
_NUMBERS = re.compile(r"[+\-]?\d[\d .,;+]*")
_DEFUSED = re.compile(r"''*[=+\-@\t\r\n＝＋－＠]")


def defuse(text: str) -> str:
    """
    >>> defuse("=1+1"), defuse("+15550100"), defuse("'=1")
    ("'=1+1", '+15550100', "''=1")
    """
    return "'" + text if _RISKY.match(text) and not _NUMBERS.fullmatch(text) else text


def undo_defusing(text: str) -> str:
    return text[1:] if text[:1] == "'" and _DEFUSED.match(text) else text
