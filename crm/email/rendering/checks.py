"""What is wrong with a template, and what is likely to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from crm.email.rendering.renderer import RenderError, inspect
from crm.email.rendering.sources import MAX_SUBJECT, Source
from crm.email.rendering.variables import LINKS, catalogue, values_for
from crm.models import Contact

LOOKED_AT = 5_000  # contacts, at most, when empty values are counted
LONG_SUBJECT = 78  # characters most mail programs show


@dataclass(frozen=True, slots=True)
class Finding:
    level: str  # "error": cannot be sent; "warning"; "info"
    part: str  # "subject", "html" or "text"
    line: int | None
    text: str

    @property
    def place(self) -> str:
        name = {"subject": "Subject", "html": "HTML", "text": "Text"}[self.part]
        return f"{name}, line {self.line}" if self.line else name


def check(source: Source) -> list[Finding]:
    """Return the findings, errors first. Needs the tenant whose fields the template is written for."""
    if len(source.subject) > MAX_SUBJECT:
        return [Finding("error", "subject", None, f"The subject has more than {MAX_SUBJECT} characters.")]
    try:
        seen = inspect(source)
    except RenderError as error:
        return [Finding("error", error.part, error.line, str(error))]
    found = [Finding("error", part, line, text) for part, line, text in seen["problems"]]
    found += _unknown(seen["uses"])
    found += _subject(source.subject)
    # A broken address harms one link, not the message: it is shown, and whoever knows better can still save.
    found += (Finding("warning" if level == "error" else level, "html", line, text) for level, line, text in seen["markup"])
    if not {name for name, *_ in seen["uses"]} & set(LINKS):
        text = "It has no link to unsubscribe. E-mail to many gets your footer under it, which has one."
        found.append(Finding("info", "html", None, text))
    return sorted(found, key=lambda finding: ("error", "warning", "info").index(finding.level))


def errors(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level == "error"]


def _unknown(uses: Sequence[Sequence[Any]]) -> Iterator[Finding]:
    known = list(catalogue())
    for name, part, line, _ in uses:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f" Is “{close[0]}” meant?" if close else ""
            yield Finding("error", part, line, f"There is nothing called “{name}”.{hint}")


def _subject(subject: str) -> Iterator[Finding]:
    if not subject.strip():
        yield Finding("error", "subject", 1, "Write a subject.")
    letters = [character for character in subject if character.isalpha()]
    if "{" not in subject and len(letters) > 7 and all(character.isupper() for character in letters):
        yield Finding("warning", "subject", 1, "It is all in capitals, which spam filters dislike.")
    if "{" not in subject and len(subject) > LONG_SUBJECT:
        yield Finding("warning", "subject", 1, f"It is longer than {LONG_SUBJECT} characters: most programs cut it.")
    if subject.count("!") > 2:
        yield Finding("warning", "subject", 1, "So many exclamation marks look like spam.")


@dataclass(frozen=True, slots=True)
class Emptiness:
    name: str
    empty: int
    of: int
    is_all: bool  # everybody with an address was looked at, not only the newest of them


def empty_values(source: Source) -> list[Emptiness]:
    """Count, for each name that is printed with nothing in its place, the contacts for which it is empty.

    Looks at the newest contacts that have an address, at most LOOKED_AT of them.
    """
    try:
        uses = inspect(source)["uses"]
    except RenderError:
        return []
    names = {name for name, _, _, is_bare in uses if is_bare} - set(LINKS)
    if not names:
        return []
    total, empty, is_all = _count(names)
    return [Emptiness(name, empty[name], total, is_all) for name in sorted(empty) if empty[name]]


# Columns that are long or have to be decrypted, and the name that needs them.
_COSTLY = {"contact_email": "contact_email", "phones": "phone", "address": "address", "notes": "", "search": ""}


def _count(names: set[str]) -> tuple[int, dict[str, int], bool]:
    wanted = Contact.objects.live().exclude(email_index="").order_by("-created_at", "-id")
    wanted = wanted.defer(*(column for column, name in _COSTLY.items() if name not in names))
    total, empty = 0, dict.fromkeys(names, 0)
    piece: list[Contact] = []
    for contact in wanted[:LOOKED_AT].iterator(chunk_size=500):
        piece.append(contact)
        if len(piece) == 500:
            total += _add(piece, names, empty)
            piece = []
    total += _add(piece, names, empty)
    return total, empty, total < LOOKED_AT or not wanted[LOOKED_AT : LOOKED_AT + 1].exists()


def _add(piece: Sequence[Contact], names: set[str], empty: dict[str, int]) -> int:
    for values in values_for(contacts=piece, names=names):
        for name, value in values.items():
            empty[name] += value == ""
    return len(piece)
