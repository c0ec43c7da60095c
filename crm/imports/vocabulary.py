"""The words other programs and languages use: headers of columns, presets of exports, wishes about contact. Read once.

The words are data (crm/imports/data), so that a new program or language needs no code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from crm.folding import fold

_DATA = Path(__file__).with_name("data")
_WORDS = re.compile(r"[^\w]+|_+", re.UNICODE)
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def normalise(header: str) -> str:
    """
    >>> normalise(" E-Mail_Address* ")
    'e mail address'
    """
    return " ".join(_WORDS.sub(" ", fold(header)).split())[:120]


def spellings(header: str) -> tuple[str, ...]:
    """Return a header normalised, and again with the words of `doNotEmail` apart."""
    plain, apart = normalise(header), normalise(_CAMEL.sub(" ", header))
    return (plain,) if plain == apart else (plain, apart)


@dataclass(frozen=True, slots=True)
class Preset:
    """How a program writes its exports."""

    key: str
    label: str
    signs: tuple[frozenset[str], ...]  # any of these sets of headers says that it was this program
    columns: dict[str, str]  # targets by normalised header
    day_format: str = ""
    decimal_mark: str = ""
    delimiter: str = ""  # the format and the mark hold only for files that are still cut by this

    def is_of(self, names: frozenset[str]) -> bool:
        return any(sign <= names for sign in self.signs)


@cache
def presets() -> tuple[Preset, ...]:
    return tuple(
        Preset(
            key=each["key"],
            label=each["label"],
            signs=tuple(frozenset(map(normalise, sign)) for sign in each["any"]),
            columns={normalise(name): target for name, target in each.get("columns", {}).items()},
            day_format=each.get("day_format", ""),
            decimal_mark=each.get("decimal_mark", ""),
            delimiter=each.get("delimiter", ""),
        )
        for each in _read("presets.json")
    )


def recognize(headers: Sequence[str]) -> Preset | None:
    """Return the program whose export has these headers."""
    names = frozenset(name for header in headers for name in spellings(header))
    return next((preset for preset in presets() if preset.is_of(names)), None)


def preset_of(key: str) -> Preset | None:
    return next((preset for preset in presets() if preset.key == key), None)


@cache
def synonyms() -> dict[str, str]:
    """Return targets by normalised header, in every language we know; of two meanings the first."""
    found: dict[str, str] = {}
    for target, words in _read("headers.json")["headers"].items():
        for word in words:
            found.setdefault(normalise(word), target)
    return found


@cache
def titles() -> frozenset[str]:
    """Headers that mean a salutation beside a job, and a job otherwise."""
    return _normalised(_read("headers.json")["titles"])


@cache
def forms_of_address() -> frozenset[str]:
    """Words before a name that are no part of it: Mr, Frau."""
    return _normalised(_read("headers.json")["forms_of_address"].split())


@cache
def not_read() -> frozenset[str]:
    """Headers of what is found out anew, or of no use here."""
    return _normalised(_read("headers.json")["not_read"])


@cache
def qualifiers() -> dict[str, str]:
    """Return, by word, what it says about a number or an address beside others: "work" for "geschäftlich"."""
    found: dict[str, str] = {}
    for label, words in _read("headers.json")["qualifiers"].items():
        found |= dict.fromkeys(map(normalise, words.split()), label)
    return found


@cache
def ignored() -> frozenset[str]:
    return _normalised(_read("headers.json")["ignored"].split())


def wish_of(header: str) -> str | None:
    """Return which wish about contact a column seems to hold, empty where that is unclear; None for no such column.

    >>> wish_of("Email Opt Out"), wish_of("Fax Opt Out"), wish_of("City")
    ('do_not_mail', '', None)
    """
    words, names = _wishes(), spellings(header)
    known = next((words[name] for name in names if name in words), None)
    if known is None and any(hint in name for name in names for hint in _hints()):
        return ""
    return known


@cache
def _wishes() -> dict[str, str]:
    wishes = {k: v for k, v in _read("consent.json").items() if k != "hints"}
    return {normalise(word): "" if target == "unclear" else target for target, words in wishes.items() for word in words}


@cache
def _hints() -> frozenset[str]:
    return _normalised(_read("consent.json")["hints"])


@cache
def yes_words() -> frozenset[str]:
    return frozenset(_read("words.json")["yes"])


@cache
def no_words() -> frozenset[str]:
    return frozenset(_read("words.json")["no"])


def likely_status(word: str) -> str:
    """Return which status another program's word may mean; empty when that is unclear.

    >>> likely_status("Open - Not Contacted")
    'lead'
    """
    return _statuses().get(normalise(word), "")


@cache
def _statuses() -> dict[str, str]:
    return {normalise(word): status for status, words in _read("words.json")["status"].items() for word in words}


def _normalised(words: Iterable[str]) -> frozenset[str]:
    return frozenset(map(normalise, words))


def _read(name: str) -> Any:
    return json.loads((_DATA / name).read_text(encoding="utf-8"))
