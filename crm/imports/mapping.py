"""Which column of a file is which field: guessed, asked about, and remembered. No I/O.

A target is the key of a built-in field, `cf_` and the key of a custom field, one of the extra targets below,
`new:` and a type for a custom field that is still to be made, or "" for a column that is left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from crm.contactfields import FIELDS
from crm.enums import FieldType
from crm.fieldtypes import Definition
from crm.folding import fold
from crm.imports import vocabulary
from crm.imports.vocabulary import Preset, normalise, recognize

CUSTOM = "cf_"
NEW = "new:"
ID, OWNER, FIRST_NAME, LAST_NAME = "id", "owner", "first_name", "last_name"
SALUTATION, MIDDLE_NAME, NAME_SUFFIX = "salutation", "middle_name", "name_suffix"
PHONE_LABEL, NOTE = "phone_label", "note"
DO_NOT_CONTACT, MAY_MAIL, MAY_CALL = "do_not_contact", "may_mail", "may_call"
# What a person says of a column that looks like a wish about contact, and is none or is not to be heeded.
IGNORE = "ignore"
ID_HEADER = "Thanotopolis ID"
NAME_PARTS = (SALUTATION, FIRST_NAME, MIDDLE_NAME, LAST_NAME, NAME_SUFFIX)
WISHES = ("do_not_mail", "do_not_call", DO_NOT_CONTACT, MAY_MAIL, MAY_CALL)
EXTRA = {
    SALUTATION: "Title before the name",
    FIRST_NAME: "First name",
    MIDDLE_NAME: "Middle name",
    LAST_NAME: "Last name",
    NAME_SUFFIX: "Title behind the name",
    PHONE_LABEL: "Label of the next phone number",
    NOTE: "Notes, with the name of this column",
    OWNER: "Owner",
    DO_NOT_CONTACT: "Do not contact: neither calls nor mail",
    MAY_MAIL: "May be e-mailed: “no” means do not mail",
    MAY_CALL: "May be called: “no” means do not call",
    ID: ID_HEADER,
}
# Fields that several columns may fill together.
SHARED = frozenset({"phones", "tags", "notes", "address", PHONE_LABEL, NOTE, *WISHES})
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
_PLACE = ("address", "city", "state", "postal_code", "country")
_QUALIFIED = frozenset({"phones", "contact_email", "website", *_PLACE})
_KEPT_AS_NOTE = frozenset({"contact_email", "website"})  # a contact has one of these; others go to the notes
_LABEL_OF_NUMBER = re.compile(r"(?:phone|telephone|telefon)(?: \d+)? (?:label|type|typ)")
_LABEL_OF_OTHERS = re.compile(
    r"(?:e mail|email|address|website|relation|event|im|custom field)(?: \d+)? (?:label|type|typ)"
)
# Words that are a full name, or the part of it that no other column holds.
_WHOLE_OR_LAST = frozenset({"name", "naam", "namn", "navn"})
_WHOLE_OR_FIRST = frozenset({"nombre", "nome"})


@dataclass(frozen=True, slots=True)
class Guess:
    target: str
    # A field the header is almost the name of, or a wish it seems to hold: to be asked about, not to be assumed.
    question: str = ""
    # It looks like a wish about contact: nothing is imported before somebody has said what it means.
    is_wish: bool = False


def targets(fields: Sequence[Definition]) -> dict[str, str]:
    """Return every target a column may have, with what it is called."""
    built_in = {key: field.label for key, field in FIELDS.items()}
    return built_in | EXTRA | {CUSTOM + field.key: field.label for field in fields}


def guess_mapping(
    headers: Sequence[str],
    fields: Sequence[Definition],
    known: Mapping[str, str],
    filled: Collection[int] | None = None,
) -> list[Guess]:
    """Return a guess for each column.

    `known` is what people said that headers (normalised) mean; `filled` are the columns with something in them: one of
    these is preferred to an empty one of the same meaning.
    """
    preset = recognize(headers)
    names = _names(fields)
    possible = targets(fields)
    guesses = [_guess(header, names, possible, known, preset) for header in headers]
    _tell_titles_from_jobs(headers, guesses, known)
    _tell_names(headers, guesses, known)
    _choose_one_place(headers, guesses, filled)
    _choose_one_of_a_meaning(guesses, filled)
    taken = {guess.target for guess in guesses}
    # The question for a field that another column answers already need not be asked.
    return [Guess("") if guess.question and guess.question in taken and not guess.is_wish else guess for guess in guesses]


def _guess(
    header: str, names: Mapping[str, str], possible: Mapping[str, str], known: Mapping[str, str], preset: Preset | None
) -> Guess:
    name = normalise(header)
    said = known.get(name, "")
    said = said if said in possible else ""
    is_own = preset is not None and preset.key == "own"
    if not is_own and (wish := vocabulary.wish_of(header)) is not None:
        return Guess("", said or names.get(name) or wish, is_wish=True)
    if header.strip() in possible:  # a key, as the API calls it
        return Guess(header.strip())
    if said:
        return Guess(said)
    if preset and name in preset.columns:
        return Guess(preset.columns[name])
    if name in names:
        return Guess(names[name])
    if name in vocabulary.not_read() or _LABEL_OF_OTHERS.fullmatch(name):
        return Guess("")
    if _LABEL_OF_NUMBER.fullmatch(name):
        return Guess(PHONE_LABEL)
    if target := _qualified(name):
        return Guess(target)
    if len(name) < 3:
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
    for word, target in vocabulary.synonyms().items():
        found.setdefault(word, target)
    for key, field in FIELDS.items():
        for synonym in field.synonyms:
            found.setdefault(normalise(synonym), key)
    return found


def _qualified(name: str) -> str:
    """Return what a header means that says which of several it is: `Business Phone`, `E-mail 2 - Value`, `Home Street`."""
    kept, left_off = _without_qualifiers(name)
    if not left_off:
        return ""
    if not kept:
        return "phones" if {"mobile", "fax"} & {vocabulary.qualifiers().get(word) for word in left_off} else ""
    for words in (kept, kept[1:] if kept[0] == "address" else kept):
        target = vocabulary.synonyms().get(" ".join(words), "")
        if target in _QUALIFIED:
            return target
    return ""


def _without_qualifiers(name: str) -> tuple[list[str], list[str]]:
    """Return the words of a header that say what it is, and those that say which."""
    kept: list[str] = []
    left_off: list[str] = []
    for word in name.split():
        is_which = word.isdigit() or word in vocabulary.qualifiers() or word in vocabulary.ignored()
        (left_off if is_which else kept).append(word)
    return kept, left_off


def _tell_titles_from_jobs(headers: Sequence[str], guesses: list[Guess], known: Mapping[str, str]) -> None:
    """`Title` is a salutation beside a column for the job, and the job where there is no other."""
    is_title = [normalise(header) in vocabulary.titles() and not known.get(normalise(header)) for header in headers]
    has_job = any(guess.target == "contact_role" for guess, title in zip(guesses, is_title, strict=True) if not title)
    for position, title in enumerate(is_title):
        if title and guesses[position].target in ("", "contact_role", SALUTATION):
            guesses[position] = Guess(SALUTATION if has_job else "contact_role")


def _tell_names(headers: Sequence[str], guesses: list[Guess], known: Mapping[str, str]) -> None:
    """`Name` beside `Vorname` is the last name, `Nom` alone the whole one; a whole one beside its parts is left out."""
    found = {guess.target for guess in guesses}
    for position, (header, guess) in enumerate(zip(headers, guesses, strict=True)):
        name = normalise(header)
        if known.get(name):
            continue
        if guess.target == "contact_name" and found & {FIRST_NAME, LAST_NAME}:
            is_last = LAST_NAME not in found and name in _WHOLE_OR_LAST
            guesses[position] = Guess(LAST_NAME if is_last else "")
        elif (guess.target == FIRST_NAME and LAST_NAME not in found and name in _WHOLE_OR_FIRST) or (
            guess.target == LAST_NAME and FIRST_NAME not in found and name == "nom"
        ):
            guesses[position] = Guess("contact_name")


def _choose_one_place(headers: Sequence[str], guesses: list[Guess], filled: Collection[int] | None) -> None:
    """Of several addresses (business, home) take one: the first with anything in it. They are never mixed."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for position, (header, guess) in enumerate(zip(headers, guesses, strict=True)):
        if guess.target in _PLACE:
            groups.setdefault(tuple(_which(normalise(header))), []).append(position)
    if len(groups) < 2:
        return
    chosen = next((group for group in groups.values() if filled is None or set(group) & set(filled)), None)
    chosen = chosen or next(iter(groups.values()))
    has = {guesses[position].target for position in chosen}
    for group in groups.values():
        if group is not chosen:
            for position in group:
                if guesses[position].target in has:
                    guesses[position] = Guess("")


def _which(name: str) -> list[str]:
    _, left_off = _without_qualifiers(name)
    # `Address 1` and `Address 2`, or `Address line 2`, are lines of one address; `Address 2 - City` is another.
    lines = re.fullmatch(r"(?:street|address|address line|po box|strasse|stra[sß]+e|adresse)(?: \d+)?", name)
    return [] if lines else left_off


def _choose_one_of_a_meaning(guesses: list[Guess], filled: Collection[int] | None) -> None:
    """Of two columns with the same meaning the first counts that has anything in it; a second address becomes a note."""
    positions: dict[str, list[int]] = {}
    for position, guess in enumerate(guesses):
        if guess.target and guess.target not in SHARED:
            positions.setdefault(guess.target, []).append(position)
    for target, found in positions.items():
        winner = next((position for position in found if filled is None or position in filled), found[0])
        for position in found:
            if position != winner:
                guesses[position] = Guess(NOTE if target in _KEPT_AS_NOTE else "")


def wish_columns(headers: Sequence[str]) -> list[int]:
    """Return the columns that look like wishes about contact, such as "Email Opt Out". Our own export needs no asking."""
    preset = recognize(headers)
    if preset is not None and preset.key == "own":
        return []
    return [position for position, header in enumerate(headers) if vocabulary.wish_of(header) is not None]


def mapping_faults(mapping: Sequence[str], headers: Sequence[str], fields: Sequence[Definition]) -> list[str]:
    """Return, in words, why a mapping cannot be used; nothing when it can."""
    if len(mapping) != len(headers):
        return [f"The file has {len(headers)} columns; {len(mapping)} were given."]
    possible = targets(fields)
    faults = []
    for target, header in zip(mapping, headers, strict=True):
        kind = target.removeprefix(NEW)
        if target and target not in (*possible, IGNORE) and not (target.startswith(NEW) and kind in NEW_TYPES):
            faults.append(f"“{header[:60]}” cannot become “{target[:60]}”: there is no such field.")
    for target, times in Counter(mapping).items():
        if target and times > 1 and target not in (*SHARED, IGNORE) and not target.startswith(NEW):
            faults.append(f"{times} columns are to become {possible.get(target, target)}. Choose one of them.")
    chosen = set(mapping)
    if not chosen & {"contact_name", "business_name", FIRST_NAME, LAST_NAME, ID, "contact_email", "phones"}:
        faults.append("Choose the column that holds the name of the person or of the business.")
    if "contact_name" in chosen and chosen & {FIRST_NAME, LAST_NAME}:
        faults.append("Choose either Name, or First name and Last name.")
    for position in wish_columns(headers):
        if not mapping[position]:
            faults.append(
                f"“{headers[position][:60]}” looks like a wish about being contacted. Say what it means: "
                f"{', '.join((*WISHES, IGNORE))}, or another field."
            )
    return faults


def phone_label(header: str) -> str:
    """Return what numbers of a column are called when their cells do not say: "work fax" for "Business Fax"."""
    words = (vocabulary.qualifiers().get(word, "") for word in normalise(header).split())
    return " ".join(dict.fromkeys(filter(None, words)))[:30]


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
    names = _names(fields).keys() | known.keys() | vocabulary.not_read()

    def is_name(cell: str) -> bool:
        name = normalise(cell)
        return name in names or bool(_qualified(name))

    scores = [sum(is_name(cell) for cell in row if cell.strip()) for row in rows[:10]]
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
