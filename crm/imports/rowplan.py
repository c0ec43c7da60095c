"""How one row of a file becomes the values of a contact. Compiled once for an import, then run for every row.

A cell that cannot be read costs that cell, which is reported, and not the contact. No database: what is needed of it
(custom fields, people who may own contacts) is handed in.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from crm.contactfields import FIELDS
from crm.enums import FieldType
from crm.fieldtypes import (
    FALSE_WORDS,
    TRUE_WORDS,
    Definition,
    FieldError,
    Reading,
    date_formats_fitting,
    decimal_marks_fitting,
    parse_moment,
)
from crm.fieldtypes import parse as parse_custom
from crm.imports import vocabulary
from crm.imports.mapping import (
    CUSTOM,
    DO_NOT_CONTACT,
    ID,
    MAY_CALL,
    MAY_MAIL,
    NAME_PARTS,
    NOTE,
    OWNER,
    PHONE_LABEL,
    SALUTATION,
    WISHES,
    phone_label,
    targets,
)
from crm.imports.reading import MISQUOTED, CellError, CellNumber

Parse = Callable[[str], Any]
Values = dict[str, Any]

CACHED = 5_000  # texts of one column whose value is remembered
# Nearly every row has another one: remembering them would only cost.
_DISTINCT = frozenset(
    {"contact_name", "contact_email", "phones", "address", "notes", "website", "stripe_customer_id", NOTE, ID}
)
_LIMITS = {"contact_name": 200, "address": 300, "notes": 100_000}
_JOINTS = {"notes": "\n", "address": ", "}
_NOTE_LINES = "note_lines"  # what other columns add to the notes
FLAGS = {"do_not_call": "do_not_call_at", "do_not_mail": "do_not_mail_at"}
_WISH_KEYS = {**FLAGS, MAY_MAIL: "do_not_mail_at", MAY_CALL: "do_not_call_at"}
ANY_WORD = "*"  # stands for every word of a column that has too many to ask about each


class RowError(ValueError):
    """The row cannot be read; the text says which cell and why."""


@dataclass(frozen=True, slots=True)
class Unread:
    """A cell that is left out, and why."""

    position: int
    label: str
    reason: str

    def __str__(self) -> str:
        return f"{self.label}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Parsed:
    values: Values
    unread: list[Unread]


@dataclass(frozen=True, slots=True)
class Answers:
    """What was decided for a whole column, or asked about and answered, rather than guessed cell by cell."""

    day_orders: Mapping[int, str] = field(default_factory=dict)  # by column, as `order_of` says
    decimal_marks: Mapping[int, str] = field(default_factory=dict)  # by column
    # By target, what a word of another program means: a status, the id of an owner, "yes" or "no"; "" for nothing.
    words: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Column:
    position: int
    key: str
    label: str
    parse: Parse
    phone_label: str = ""


@dataclass(slots=True)
class Plan:
    """`parse` turns cells into values by field: custom fields under `custom_fields`, the owner as `owner_id`."""

    columns: list[_Column]
    width: int
    required: Mapping[str, str] = field(default_factory=dict)  # custom fields no new contact may lack, with their labels
    custom_defaults: Values = field(default_factory=dict)

    def parse(self, cells: Sequence[str]) -> Parsed:
        """Raises RowError for a row that is not to be trusted as a whole."""
        if len(cells) != self.width:
            self._check_width(cells)
        values: Values = {}
        unread: list[Unread] = []
        count = len(cells)
        for column in self.columns:
            if column.position >= count:
                break
            raw = cells[column.position]
            if not raw or raw.isspace():
                continue
            if type(raw) is CellError:
                unread.append(Unread(column.position, column.label, f"the spreadsheet has an error here ({raw[:20]})"))
                continue
            try:
                value = column.parse(raw)
            except FieldError as error:
                if column.key == ID:  # whom the row is about is not to be guessed
                    raise RowError(f"{column.label}: {error}") from None
                unread.append(Unread(column.position, column.label, str(error)))
                continue
            if value is not None and value != "":
                _put(values, column, value)
        _finish(values)
        for key, limit in _LIMITS.items():
            if len(values.get(key, "")) > limit:
                position = next((column.position for column in self.columns if column.key == key), 0)
                unread.append(Unread(position, FIELDS[key].label, f"at most {limit:,} characters"))
                del values[key]
        return Parsed(values, unread)

    def _check_width(self, cells: Sequence[str]) -> None:
        if cells[:1] == [MISQUOTED]:
            raise RowError("the quotation marks of this row do not fit together")
        if any(map(str.strip, cells[self.width :])):
            raise RowError(f"the row has {len(cells)} cells, but there are only {self.width} columns")

    def complete(self, values: Values) -> None:
        """Check that values are enough for a new contact, and fill in defaults of custom fields. Raises RowError."""
        if not values.get("contact_name") and not values.get("business_name"):
            raise RowError("there is neither a name nor a business")
        if lines := values.pop(_NOTE_LINES, None):
            values["notes"] = "\n".join(filter(None, (values.get("notes", ""), *lines)))[: _LIMITS["notes"]]
        if self.custom_defaults or self.required:
            custom = {**self.custom_defaults, **values.get("custom_fields", {})}
            if missing := [label for key, label in self.required.items() if key not in custom]:
                raise RowError(f"{', '.join(missing)}: must be filled in")
            values["custom_fields"] = custom

    def is_complete(self, values: Values) -> bool:
        """Tell whether values are enough for a new contact."""
        try:
            self.complete(dict(values))
        except RowError:
            return False
        return True


def _put(values: Values, column: _Column, value: Any) -> None:
    key = column.key
    if key.startswith(CUSTOM):
        values.setdefault("custom_fields", {})[key.removeprefix(CUSTOM)] = value
    elif key == "phones":
        label = values.pop(PHONE_LABEL, "") or column.phone_label
        if label:
            value = [{**phone, "label": phone["label"] or label} for phone in value]
        values["phones"] = join_phones(values.get("phones", ()), value)
    elif key == "contact_email":
        values[key], *others = value
        values.setdefault(_NOTE_LINES, []).extend(f"{column.label}: {other}" for other in others)
    elif key == NOTE:
        values.setdefault(_NOTE_LINES, []).append(value)
    elif key in (*FLAGS.values(), DO_NOT_CONTACT):
        for each in FLAGS.values() if key == DO_NOT_CONTACT else (key,):
            values[each] = min(values.get(each, value), value)
    elif key not in values or key == PHONE_LABEL:
        values[key] = value
    elif key == "tags":
        values["tags"] = list(dict.fromkeys((*values["tags"], *value)))
    else:
        values[key] += _JOINTS[key] + value


def _finish(values: Values) -> None:
    values.pop(PHONE_LABEL, None)
    if parts := [values.pop(part, "") for part in NAME_PARTS if part in values]:
        values["contact_name"] = " ".join(filter(None, parts))
    if not values.get(_NOTE_LINES, True):
        del values[_NOTE_LINES]


def join_phones(there: Sequence[dict[str, str]], more: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Return the numbers there are, and behind them those that are new."""
    known = {(phone["number"], phone.get("extension", "")) for phone in there}
    joined = list(there)
    for phone in more:
        key = (phone["number"], phone.get("extension", ""))
        if key not in known:
            known.add(key)
            joined.append(dict(phone))
    return joined


def compile_plan(
    mapping: Sequence[str],
    headers: Sequence[str],
    *,
    fields: Sequence[Definition],
    reading: Reading,
    owners: Mapping[str, int],
    now: datetime,
    answers: Answers | None = None,
) -> Plan:
    """`owners` are ids by e-mail address and by name, in small letters; `now` is the date of wishes without one."""
    custom = {field.key: field for field in fields}
    labels = targets(fields)
    answers = answers or Answers()
    columns = []
    for position, (target, header) in enumerate(zip(mapping, headers, strict=True)):
        if not target or target not in labels:
            continue
        compiler = _Compiler(position, header, target, custom, reading, owners, now, answers)
        parse = compiler.parser()
        key = {OWNER: "owner_id", **_WISH_KEYS}.get(target, target)
        label = phone_label(header) if target == "phones" else ""
        if target not in _DISTINCT:
            parse = _remembering(parse)
        columns.append(_Column(position, key, labels[target], parse, label))
    return Plan(
        columns,
        len(headers),
        {field.key: field.label for field in fields if getattr(field, "is_required", False)},
        {field.key: field.default for field in fields if getattr(field, "default", None) is not None},  # type: ignore[attr-defined]
    )


@dataclass(frozen=True, slots=True)
class _Compiler:
    """Makes the parser of one column."""

    position: int
    header: str
    target: str
    custom: Mapping[str, Definition]
    reading: Reading
    owners: Mapping[str, int]
    now: datetime
    answers: Answers

    def parser(self) -> Parse:
        target = self.target
        if target in WISHES:
            return lambda raw: self._wish(raw)
        if target == OWNER:
            return lambda raw: self._owner(raw)
        if target == "status":
            return lambda raw: self._status(raw)
        if target in _SPECIAL:
            return _SPECIAL[target]
        if target == "phones":
            parse = FIELDS[target].parse
            return lambda raw: parse(restored_digits(raw), self.reading)
        if target == "postal_code":
            parse = FIELDS[target].parse
            return lambda raw: parse(restored_digits(raw), self.reading)
        if target == NOTE:
            header = self.header
            return lambda raw: f"{header}: {raw.strip()}"
        if target == "value":
            parse = FIELDS[target].parse
            return lambda raw: parse(raw, self._by_mark(raw))
        if target in FIELDS:
            parse = FIELDS[target].parse
            return lambda raw: parse(raw, self.reading)
        return self._custom(self.custom[target.removeprefix(CUSTOM)])

    def _custom(self, definition: Definition) -> Parse:
        match FieldType(definition.type):
            case FieldType.NUMBER | FieldType.MONEY:
                return lambda raw: parse_custom(definition, raw, self._by_mark(raw))
            case FieldType.DATE | FieldType.DATE_TIME:
                return lambda raw: parse_custom(definition, raw, self._by_day(raw))
            case FieldType.PHONE:
                return lambda raw: parse_custom(definition, restored_digits(raw), self.reading)
        return lambda raw: parse_custom(definition, raw, self.reading)

    def _by_mark(self, raw: str) -> Reading:
        """Return the reading for a number: the column's mark where the cell allows it, else what the cell itself says."""
        if type(raw) is CellNumber:
            return replace(self.reading, decimal_mark=".")
        mark = self.answers.decimal_marks.get(self.position, "")
        return replace(self.reading, decimal_mark=mark if mark in decimal_marks_fitting(raw) else "")

    def _by_day(self, raw: str) -> Reading:
        order = self.answers.day_orders.get(self.position, "")
        chosen = [each for each in date_formats_fitting(raw) if order and order_of(each) == order]
        return replace(self.reading, day_format=chosen[0] if len(chosen) == 1 else "")

    def _wish(self, raw: str) -> datetime | None:
        """When somebody asked not to be contacted. A "no" is no news: an import does not take such a wish back."""
        is_yes = wish_says_yes(raw)
        if is_yes is None:
            try:
                at = parse_moment(raw, self._by_day(raw))
            except FieldError:
                meaning = word_meaning(self.answers, self.target, raw)
                if meaning is None:
                    raise FieldError(f"“{raw.strip()[:40]}” is neither yes nor no") from None
                is_yes = {"yes": True, "no": False}.get(meaning)
            else:
                return None if self.target in (MAY_MAIL, MAY_CALL) else at
        wanted = self.target not in (MAY_MAIL, MAY_CALL)  # there a "no" is the wish
        return self.now if is_yes is wanted else None

    def _owner(self, raw: str) -> int | None:
        found = self.owners.get(" ".join(raw.split()).casefold())
        if found is not None:
            return found
        meaning = word_meaning(self.answers, OWNER, raw)
        if meaning is None:
            raise FieldError(f"nobody here is called “{raw.strip()[:60]}”")
        return int(meaning) if meaning else None

    def _status(self, raw: str) -> str | None:
        meaning = word_meaning(self.answers, "status", raw)
        if meaning is not None:
            return str(meaning) or None
        return str(FIELDS["status"].parse(raw, self.reading))


def order_of(day_format: str) -> str:
    """Return whether a format writes the day or the month first; empty for one that cannot be taken for the other.

    >>> order_of("%d/%m/%Y"), order_of("%m/%d/%Y"), order_of("%Y-%m-%d"), order_of("%B %d, %Y")
    ('day', 'month', '', '')
    """
    if day_format[:2] not in ("%d", "%m") or "%b" in day_format or "%B" in day_format:
        return ""
    return "day" if day_format.startswith("%d") else "month"


def word_of(raw: str) -> str:
    """Return a cell as words are compared that people are asked about."""
    return " ".join(raw.split()).casefold()[:80]


def word_meaning(answers: Answers, target: str, raw: str) -> Any:
    """Return what somebody said that a word means; None where nobody did."""
    words = answers.words.get(target, {})
    return words.get(word_of(raw), words.get(ANY_WORD))


def wish_says_yes(raw: str) -> bool | None:
    """Return what a cell of a column of wishes says; None when it is neither yes nor no."""
    word = word_of(raw)
    try:
        number = float(word)
    except ValueError:
        number = None
    if word in TRUE_WORDS or word in vocabulary.yes_words() or number == 1:
        return True
    return False if word in FALSE_WORDS or word in vocabulary.no_words() or number == 0 else None


_POINT_ZERO = re.compile(r"(\+?\d+)[.,]0+")
_SCIENTIFIC = re.compile(r"(\+?)(\d)(?:[.,](\d+))?[eE]\+?(\d{1,2})")


def restored_digits(raw: str) -> str:
    """Return the digits of a number that a spreadsheet wrote as a quantity. Raises FieldError where they are lost.

    >>> restored_digits("97201.0"), restored_digits("4.91512345678E+11"), restored_digits("030 123")
    ('97201', '491512345678', '030 123')
    """
    text = raw.strip()
    if found := _POINT_ZERO.fullmatch(text):
        return found[1]
    if found := _SCIENTIFIC.fullmatch(text):
        plus, first, rest, power = found[1], found[2], found[3] or "", int(found[4])
        if len(rest) != power:
            raise FieldError(
                f"a spreadsheet shortened this number to “{text[:30]}”: format the column as text there and export again"
            )
        return plus + first + rest
    return raw


_ADDRESS = re.compile(r"[^\s<>,;:|\"'()\[\]]+@[^\s<>,;:|\"'()\[\]]+")


def _emails(raw: str) -> list[str]:
    """Return the address of a cell, or all of several: `Ann <a@x.org>; b@x.org`. Raises FieldError for none."""
    parse = FIELDS["contact_email"].parse
    try:
        return [parse(raw, Reading())]
    except FieldError as error:
        found = []
        for text in _ADDRESS.findall(raw):
            try:
                found.append(parse(text.rstrip("."), Reading()))
            except FieldError:
                raise error from None
        if not found:
            raise
        return list(dict.fromkeys(found))


def _tags(raw: str) -> list[str]:
    """Also as Google (`* myContacts ::: Friends`) and Mailchimp (`"a","b"`) write them."""
    parse = FIELDS["tags"].parse
    if ":::" in raw:
        parts = [part.strip().removeprefix("* ") for part in raw.split(":::")]
        return list(dict.fromkeys(tag for part in parts for tag in parse(part, Reading()) if tag != "myContacts"))
    if raw.startswith('"') and raw.endswith('"'):
        return list(dict.fromkeys(filter(None, (tag.strip() for tag in next(csv.reader([raw]))))))
    return [tag for tag in parse(raw.removeprefix("* "), Reading()) if tag != "myContacts"]


def _label(raw: str) -> str:
    words = raw.strip().removeprefix("* ").casefold()
    return phone_label(words) or words[:30]


def _salutation(raw: str) -> str:
    """Return the titles of a person, such as Dr.: forms of address, such as Ms, are no part of a name."""
    words = raw.split()
    return " ".join(word for word in words if word.strip(".").casefold() not in vocabulary.forms_of_address())


def _words(raw: str) -> str:
    return " ".join(raw.split())


def _id(raw: str) -> int:
    text = restored_digits(raw).strip()
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise FieldError(f"“{text[:40]}” is not the number of a contact")
    return int(text)


_SPECIAL: dict[str, Parse] = {
    **dict.fromkeys(NAME_PARTS, _words),
    SALUTATION: _salutation,
    "contact_email": _emails,
    "tags": _tags,
    PHONE_LABEL: _label,
    ID: _id,
}


def _remembering(parse: Parse) -> Parse:
    """Columns such as cities repeat themselves. The memory is bounded, and a text at fault is not remembered."""
    known: dict[tuple[type, str], Any] = {}

    def remembered(raw: str) -> Any:
        key = (type(raw), raw)
        if key in known:
            return known[key]
        value = parse(raw)
        if len(known) < CACHED and len(raw) < 200:
            known[key] = value
        return value

    return remembered


def _same_lines(old: Any, value: Any) -> bool:
    """Tell whether two texts differ only in how their lines end, which a workbook does not keep."""
    return isinstance(old, str) and isinstance(value, str) and old.splitlines() == value.splitlines()


def _with_lines(notes: str, lines: Iterable[str]) -> str:
    there = set(notes.splitlines())
    return "\n".join(filter(None, (notes, *(line for line in lines if line not in there))))[: _LIMITS["notes"]]


# --- filling in what is there already --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Merger:
    """Says what a row changes about a contact: filled cells replace, tags and numbers are added, nothing is emptied."""

    fields: Mapping[str, Definition]
    reading: Reading

    def changes(self, there: Mapping[str, Any], values: Values) -> Values:
        """Return the fields of `values` that differ from those that are `there`, as they would be then."""
        changed: Values = {}
        if lines := values.get(_NOTE_LINES):
            values = {key: value for key, value in values.items() if key != _NOTE_LINES}
            values["notes"] = _with_lines(values.get("notes") or there.get("notes") or "", lines)
        for key, value in values.items():
            old = there.get(key)
            if key == ID or value == old or _same_lines(old, value):
                continue
            if key == "tags":
                value = list(dict.fromkeys((*(old or ()), *value)))
            elif key == "phones":
                value = join_phones(old or (), value)
            elif key == "custom_fields":
                value = self._custom(old or {}, value)
            elif key in FLAGS.values():
                value = old or value  # whoever asked first keeps the date
            elif self._means_the_same(key, old, value):
                continue
            if value != old:
                changed[key] = value
        return changed

    def _means_the_same(self, key: str, old: Any, value: Any) -> bool:
        """Tell whether what is there, written down and read again, is the new value: spaces, or how a URL begins."""
        if old in (None, "") or key not in FIELDS:
            return False
        try:
            return bool(FIELDS[key].parse(str(old), self.reading) == value)
        except FieldError:
            return False

    def _custom(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> Values:
        from crm.fieldtypes import to_text

        merged = dict(old)
        for key, value in new.items():
            definition = self.fields[key]
            if key in old and old[key] != value:
                if _same_lines(old[key], value):
                    continue
                try:
                    if parse_custom(definition, to_text(definition, old[key], self.reading.zone), self.reading) == value:
                        continue
                except FieldError:
                    pass  # what is there no longer fits its field, so the new value is news
            merged[key] = value
        return merged
