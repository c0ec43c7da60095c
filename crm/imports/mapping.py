"""Which column of a file is which field: guessed, asked about, and remembered. No I/O.

A target is the key of a built-in field, `cf_` and the key of a custom field, one of the extra targets below,
`new:` and a type for a custom field that is still to be made, or "" for a column that is left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from crm.contactfields import FIELDS
from crm.enums import FieldType
from crm.fieldtypes import Definition
from crm.folding import fold

CUSTOM = "cf_"
NEW = "new:"
ID, OWNER, FIRST_NAME, LAST_NAME = "id", "owner", "first_name", "last_name"
ID_HEADER = "Thanotopolis ID"
EXTRA = {
    FIRST_NAME: "First name",
    LAST_NAME: "Last name",
    OWNER: "Owner",
    ID: ID_HEADER,
}
_EXTRA_SYNONYMS = {
    FIRST_NAME: ("first name", "firstname", "given name", "forename", "vorname"),
    LAST_NAME: ("last name", "lastname", "surname", "family name", "nachname"),
    OWNER: ("owner", "account owner", "contact owner", "assigned to", "responsible"),
    ID: (ID_HEADER.casefold(),),
}
# What we write into files and do not read: it is found out anew.
_NOT_READ = frozenset({"score", "created", "updated", "reason why not imported"})
# Fields that several columns may fill together.
SHARED = frozenset({"phones", "tags", "notes", "address"})
NEW_TYPES = (
    FieldType.TEXT,
    FieldType.LONG_TEXT,
    FieldType.NUMBER,
    FieldType.MONEY,
    FieldType.DATE,
    FieldType.BOOLEAN,
    FieldType.EMAIL,
    FieldType.PHONE,
    FieldType.URL,
)
_PHONE_LABELS = ("mobile", "cell", "work", "office", "home", "private", "fax", "direct", "main")
_WORDS = re.compile(r"[^\w]+|_+", re.UNICODE)


@dataclass(frozen=True, slots=True)
class Guess:
    target: str
    # A field the header is almost the name of: to be asked about, not to be assumed.
    question: str = ""


def normalise(header: str) -> str:
    """
    >>> normalise(" E-Mail_Address* ")
    'e mail address'
    """
    return " ".join(_WORDS.sub(" ", fold(header)).split())[:120]


def targets(fields: Sequence[Definition]) -> dict[str, str]:
    """Return every target a column may have, with what it is called."""
    built_in = {key: field.label for key, field in FIELDS.items()}
    return built_in | EXTRA | {CUSTOM + field.key: field.label for field in fields}


def guess_mapping(headers: Sequence[str], fields: Sequence[Definition], known: Mapping[str, str]) -> list[Guess]:
    """Return a guess for each column. `known` is what headers (normalised) meant in earlier files."""
    names = _names(fields)
    possible = targets(fields)
    taken: Counter[str] = Counter()
    guesses = []
    for header in headers:
        guess = _guess(normalise(header), header, names, possible, known)
        if guess.target and taken[guess.target] and guess.target not in SHARED:
            guess = Guess("")  # the first column of two with the same meaning wins
        taken[guess.target] += 1
        guesses.append(guess)
    # The question for a field that another column answers already need not be asked.
    return [Guess("") if guess.question and taken[guess.question] else guess for guess in guesses]


def _guess(
    name: str, header: str, names: Mapping[str, str], possible: Mapping[str, str], known: Mapping[str, str]
) -> Guess:
    if header.strip() in possible:  # a key, as the API calls it
        return Guess(header.strip())
    if name in known and (not known[name] or known[name] in possible):
        return Guess(known[name])
    if name in names:
        return Guess(names[name])
    if name in _NOT_READ or len(name) < 3:
        return Guess("")
    close = get_close_matches(name, names, n=1, cutoff=0.8)
    return Guess("", names[close[0]]) if close else Guess("")


def _names(fields: Sequence[Definition]) -> dict[str, str]:
    """Return, by normalised name, the target it names. Labels win over synonyms, built-in fields over custom ones."""
    found: dict[str, str] = {}
    for key, field in FIELDS.items():
        found.setdefault(normalise(field.label), key)
        found.setdefault(normalise(key), key)
    for custom in fields:
        found.setdefault(normalise(custom.label), CUSTOM + custom.key)
        found.setdefault(normalise(custom.key), CUSTOM + custom.key)
    for target, synonyms in _EXTRA_SYNONYMS.items():
        for synonym in synonyms:
            found.setdefault(normalise(synonym), target)
    for key, field in FIELDS.items():
        for synonym in field.synonyms:
            found.setdefault(normalise(synonym), key)
            if key == "phones":
                word = normalise(synonym)
                found |= {name: key for label in _PHONE_LABELS for name in (f"{label} {word}", f"{word} {label}")}
    for label in _PHONE_LABELS[:2]:
        found.setdefault(label, "phones")
    return found


def mapping_faults(mapping: Sequence[str], headers: Sequence[str], fields: Sequence[Definition]) -> list[str]:
    """Return, in words, why a mapping cannot be used; nothing when it can."""
    if len(mapping) != len(headers):
        return [f"The file has {len(headers)} columns; {len(mapping)} were given."]
    possible = targets(fields)
    faults = []
    for target, header in zip(mapping, headers, strict=True):
        kind = target.removeprefix(NEW)
        if target and target not in possible and not (target.startswith(NEW) and kind in NEW_TYPES):
            faults.append(f"“{header[:60]}” cannot become “{target[:60]}”: there is no such field.")
    for target, times in Counter(mapping).items():
        if target and times > 1 and target not in SHARED and not target.startswith(NEW):
            faults.append(f"{times} columns are to become {possible.get(target, target)}. Choose one of them.")
    chosen = set(mapping)
    if not chosen & {"contact_name", "business_name", FIRST_NAME, LAST_NAME, ID, "contact_email", "phones"}:
        faults.append("Choose the column that holds the name of the person or of the business.")
    if "contact_name" in chosen and chosen & {FIRST_NAME, LAST_NAME}:
        faults.append("Choose either Name, or First name and Last name.")
    return faults


def phone_label(header: str) -> str:
    """Return what numbers of a column are called when their cells do not say: "mobile" for "Mobile phone"."""
    words = normalise(header).split()
    return next((label for label in _PHONE_LABELS if label in words), "")


def key_for(label: str, taken: set[str]) -> str:
    """Return a free key for a new custom field."""
    base = re.sub(r"[^a-z0-9]+", "_", fold(label)).strip("_")[:34]
    base = base if base[:1].isalpha() else f"field_{base}".rstrip("_")
    number, key = 1, base
    while key in taken:
        number += 1
        key = f"{base}_{number}"
    return key


# --- the header row --------------------------------------------------------------------------------------------------


def guess_header_row(rows: Sequence[Sequence[str]], fields: Sequence[Definition], known: Mapping[str, str]) -> int | None:
    """Return which of a file's first rows, counted from 1, names the columns; None when none does."""
    names = _names(fields).keys() | known.keys() | _NOT_READ
    scores = [sum(normalise(cell) in names for cell in row if cell.strip()) for row in rows[:10]]
    if scores and max(scores) > 0:
        return scores.index(max(scores)) + 1
    for number, row in enumerate(rows[:10], 1):
        if any(cell.strip() for cell in row):
            return None if _looks_like_data(row) else number
    return None


def _looks_like_data(row: Sequence[str]) -> bool:
    def is_data(cell: str) -> bool:
        digits = sum(character.isdigit() for character in cell)
        return "@" in cell or (digits >= 4 and digits * 2 > len(cell)) or len(cell) > 80

    return any(is_data(cell) for cell in row)


def name_columns(cells: Sequence[str], width: int) -> list[str]:
    """Return a name for each of `width` columns: what the header says, else the letter a spreadsheet gives it."""
    padded = [*cells, *[""] * (width - len(cells))][:width]
    return [" ".join(cell.split())[:120] or f"Column {column_letter(n)}" for n, cell in enumerate(padded)]


def column_letter(number: int) -> str:
    letters = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(65 + rest) + letters
    return letters
