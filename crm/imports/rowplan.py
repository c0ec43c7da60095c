"""How one row of a file becomes the values of a contact. Compiled once for an import, then run for every row.

No database: what is needed of it (custom fields, people who may own contacts) is handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from crm.contactfields import FIELDS
from crm.fieldtypes import FALSE_WORDS, TRUE_WORDS, Definition, FieldError, Reading, parse_moment
from crm.fieldtypes import parse as parse_custom
from crm.imports.mapping import CUSTOM, FIRST_NAME, ID, LAST_NAME, OWNER, phone_label, targets
from crm.imports.reading import MISQUOTED

Parse = Callable[[str], Any]
Values = dict[str, Any]

CACHED = 5_000  # texts of one column whose value is remembered
# Nearly every row has another one: remembering them would only cost.
_DISTINCT = frozenset({"contact_name", "contact_email", "phones", "address", "notes", "website", "stripe_customer_id", ID})
_LIMITS = {"contact_name": 200, "address": 300, "notes": 100_000}
_JOINTS = {"notes": "\n", "address": ", "}
FLAGS = {"do_not_call": "do_not_call_at", "do_not_mail": "do_not_mail_at"}


class RowError(ValueError):
    """The row cannot be read; the text says which cell and why."""


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

    def parse(self, cells: Sequence[str]) -> Values:
        """Raises RowError, which names every cell at fault."""
        if len(cells) != self.width:
            self._check_width(cells)
        values: Values = {}
        faults: list[str] = []
        count = len(cells)
        for column in self.columns:
            if column.position >= count:
                break
            raw = cells[column.position]
            if not raw or raw.isspace():
                continue
            try:
                value = column.parse(raw)
            except FieldError as error:
                faults.append(f"{column.label}: {error}")
                continue
            if value is not None and value != "":
                _put(values, column, value)
        if FIRST_NAME in values or LAST_NAME in values:
            parts = (values.pop(FIRST_NAME, ""), values.pop(LAST_NAME, ""))
            values["contact_name"] = " ".join(filter(None, parts))
        for key, limit in _LIMITS.items():
            if len(values.get(key, "")) > limit:
                faults.append(f"{FIELDS[key].label}: at most {limit:,} characters")
        if faults:
            raise RowError("; ".join(faults))
        return values

    def _check_width(self, cells: Sequence[str]) -> None:
        if cells[:1] == [MISQUOTED]:
            raise RowError("the quotation marks of this row do not fit together")
        if any(map(str.strip, cells[self.width :])):
            raise RowError(f"the row has {len(cells)} cells, but there are only {self.width} columns")

    def complete(self, values: Values) -> None:
        """Check that values are enough for a new contact, and fill in defaults of custom fields. Raises RowError."""
        if not values.get("contact_name") and not values.get("business_name"):
            raise RowError("there is neither a name nor a business")
        if self.custom_defaults or self.required:
            custom = {**self.custom_defaults, **values.get("custom_fields", {})}
            if missing := [label for key, label in self.required.items() if key not in custom]:
                raise RowError(f"{', '.join(missing)}: must be filled in")
            values["custom_fields"] = custom


def _put(values: Values, column: _Column, value: Any) -> None:
    key = column.key
    if key.startswith(CUSTOM):
        values.setdefault("custom_fields", {})[key.removeprefix(CUSTOM)] = value
    elif key == "phones":
        if column.phone_label:
            value = [{**phone, "label": phone["label"] or column.phone_label} for phone in value]
        values["phones"] = join_phones(values.get("phones", ()), value)
    elif key not in values:
        values[key] = value
    elif key == "tags":
        values["tags"] = list(dict.fromkeys((*values["tags"], *value)))
    else:
        values[key] += _JOINTS[key] + value


def join_phones(there: Sequence[dict[str, str]], more: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Return the numbers there are, and behind them those that are new."""
    known = {phone["number"] for phone in there}
    joined = list(there)
    for phone in more:
        if phone["number"] not in known:
            known.add(phone["number"])
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
) -> Plan:
    """`owners` are ids by e-mail address and by name, in small letters; `now` is the date of wishes without one."""
    custom = {field.key: field for field in fields}
    labels = targets(fields)
    columns = []
    for position, (target, header) in enumerate(zip(mapping, headers, strict=True)):
        if not target or target not in labels:
            continue
        parse = _parser(target, custom, reading, owners, now)
        key = {OWNER: "owner_id", **FLAGS}.get(target, target)
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


def _parser(
    target: str, custom: Mapping[str, Definition], reading: Reading, owners: Mapping[str, int], now: datetime
) -> Parse:
    if target in FLAGS:
        return lambda raw: _wish(raw, reading, now)
    if target in FIELDS:
        parse = FIELDS[target].parse
        return lambda raw: parse(raw, reading)
    if target == OWNER:
        return lambda raw: _owner(raw, owners)
    if target == ID:
        return _id
    if target in (FIRST_NAME, LAST_NAME):
        return lambda raw: " ".join(raw.split())
    definition = custom[target.removeprefix(CUSTOM)]
    return lambda raw: parse_custom(definition, raw, reading)


def _remembering(parse: Parse) -> Parse:
    """Columns such as cities repeat themselves. The memory is bounded, and a text at fault is not remembered."""
    known: dict[str, Any] = {}

    def remembered(raw: str) -> Any:
        if raw in known:
            return known[raw]
        value = parse(raw)
        if len(known) < CACHED and len(raw) < 200:
            known[raw] = value
        return value

    return remembered


def _wish(raw: str, reading: Reading, now: datetime) -> datetime | None:
    """When somebody asked not to be contacted. A "no" is no news: an import does not take such a wish back."""
    word = raw.strip().casefold()
    if word in FALSE_WORDS:
        return None
    return now if word in TRUE_WORDS else parse_moment(raw, reading)


def _owner(raw: str, owners: Mapping[str, int]) -> int:
    found = owners.get(" ".join(raw.split()).casefold())
    if found is None:
        raise FieldError(f"nobody here is called “{raw.strip()[:60]}”")
    return found


def _id(raw: str) -> int:
    text = raw.strip()
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise FieldError(f"“{text[:40]}” is not the number of a contact")
    return int(text)


def _same_lines(old: Any, value: Any) -> bool:
    """Tell whether two texts differ only in how their lines end, which a workbook does not keep."""
    return isinstance(old, str) and isinstance(value, str) and old.splitlines() == value.splitlines()


# --- filling in what is there already --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Merger:
    """Says what a row changes about a contact: filled cells replace, tags and numbers are added, nothing is emptied."""

    fields: Mapping[str, Definition]
    reading: Reading

    def changes(self, there: Mapping[str, Any], values: Values) -> Values:
        """Return the fields of `values` that differ from those that are `there`, as they would be then."""
        changed: Values = {}
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
