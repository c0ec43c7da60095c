"""A list's address and what it asks for. No I/O: a query string in, a filter out, and back again.

The address bar holds the whole state of a list, so that it can be sent, saved as a view, and exported.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from django.http import QueryDict

from crm.enums import Status
from crm.fieldtypes import Definition, FieldError, is_ordered, parse, parse_day

CUSTOM = "cf_"
MAX_IDS = 1000
SORTS = {
    "-created": "Newest first",
    "created": "Oldest first",
    "-updated": "Changed last",
    "name": "Name",
    "-name": "Name, from Z",
    "-touched": "In touch last",
    "touched": "Longest not contacted",
    "-score": "Highest score",
    "score": "Lowest score",
}
DEFAULT_SORT = "-created"
_NUL = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class CustomCondition:
    """A condition on one custom field: equal to one of `values`, or within a range."""

    key: str
    type: str
    values: tuple[Any, ...] = ()
    at_least: Any = None
    at_most: Any = None


@dataclass(frozen=True, slots=True)
class ContactFilter:
    text: str = ""
    statuses: tuple[str, ...] = ()
    cities: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()  # user ids, "me" or "none"
    tags: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    score_min: int | None = None
    score_max: int | None = None
    created_from: date | None = None
    created_to: date | None = None
    quiet_since: date | None = None  # not contacted since
    has_task: bool | None = None
    no_contact: bool | None = None  # wants no calls or mail
    import_id: int | None = None
    ids: tuple[int, ...] = ()  # exactly these
    custom: tuple[CustomCondition, ...] = ()
    sort: str = DEFAULT_SORT
    # What was asked and could not be understood; shown rather than passed over.
    faults: tuple[str, ...] = field(default=(), compare=False)

    @property
    def is_empty(self) -> bool:
        return replace(self, sort=DEFAULT_SORT) == ContactFilter()

    @property
    def count(self) -> int:
        """How many conditions beside the text."""
        empty = ContactFilter()
        names = [name for name in self.__slots__ if name not in ("text", "sort", "faults", "custom")]
        return sum(getattr(self, name) != getattr(empty, name) for name in names) + len(self.custom)  # type: ignore[no-any-return]


def parse_filter(query: QueryDict, fields: Iterable[Definition] = ()) -> ContactFilter:
    """Return what an address asks for. What does not fit is left out and named in `faults`."""
    reader = _Reader(query)
    fields = list(fields)
    reader.refuse_unknown(fields)
    custom = tuple(condition for definition in fields if (condition := reader.custom(definition)) is not None)
    sort = reader.text("sort")
    return ContactFilter(
        text=reader.text("q")[:200],
        statuses=reader.choices("status", Status.values),
        cities=reader.texts("city"),
        states=reader.texts("state"),
        owners=tuple(owner for owner in reader.texts("owner") if owner in ("me", "none") or _is_id(owner)),
        tags=reader.texts("tag"),
        sources=reader.texts("source"),
        score_min=reader.number("score_min"),
        score_max=reader.number("score_max"),
        created_from=reader.day("created_from"),
        created_to=reader.day("created_to"),
        quiet_since=reader.day("quiet_since"),
        has_task=reader.flag("has_task"),
        no_contact=reader.flag("no_contact"),
        import_id=reader.number("import"),
        ids=tuple(int(text) for text in query.getlist("id")[:MAX_IDS] if _is_id(text)),
        custom=custom,
        sort=sort if sort in SORTS else DEFAULT_SORT,
        faults=tuple(reader.faults),
    )


def clean_query(query: QueryDict, *, drop: Sequence[str] = ("cursor", "layout")) -> str:
    """Return the address of a list without what is empty, in a settled order, so that equal lists have equal ones."""
    kept = QueryDict(mutable=True)
    for name in sorted(query):
        values = [value for value in query.getlist(name) if value.strip()]
        if values and name not in drop and not (name == "sort" and values == [DEFAULT_SORT]):
            kept.setlist(name, values)
    return str(kept.urlencode())


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


class _Reader:
    def __init__(self, query: QueryDict) -> None:
        self._query = query
        self.faults: list[str] = []

    def text(self, name: str) -> str:
        return _NUL.sub("", self._query.get(name) or "").strip()

    def texts(self, name: str) -> tuple[str, ...]:
        values = (_NUL.sub("", value).strip()[:200] for value in self._query.getlist(name)[:50])
        return tuple(dict.fromkeys(filter(None, values)))

    def refuse_unknown(self, fields: Iterable[Definition]) -> None:
        """A field that was switched off must not mean everybody."""
        known = {CUSTOM + definition.key + end for definition in fields for end in ("", "_min", "_max")}
        asked = (name for name in self._query if name.startswith(CUSTOM) and self.text(name))
        self.faults += [f"There is no field “{name.removeprefix(CUSTOM)[:40]}”." for name in asked if name not in known]

    def choices(self, name: str, allowed: Iterable[str]) -> tuple[str, ...]:
        known = set(allowed)
        wanted = self.texts(name)
        self.faults += [f"There is no {name} “{value}”." for value in wanted if value not in known]
        return tuple(value for value in wanted if value in known)

    def number(self, name: str) -> int | None:
        text = self.text(name)
        if not text:
            return None
        if re.fullmatch(r"-?[0-9]{1,9}", text):
            return int(text)
        self.faults.append(f"“{text[:20]}” is not a whole number.")
        return None

    def day(self, name: str) -> date | None:
        text = self.text(name)
        if not text:
            return None
        try:
            return parse_day(text)
        except FieldError as error:
            self.faults.append(str(error).capitalize() + ".")
            return None

    def flag(self, name: str) -> bool | None:
        word = self.text(name).casefold()
        known = {"yes": True, "1": True, "true": True, "no": False, "0": False, "false": False}
        if word and word not in known:
            self.faults.append(f"“{word[:20]}” is neither yes nor no.")
        return known.get(word)

    def custom(self, definition: Definition) -> CustomCondition | None:
        name = CUSTOM + definition.key
        try:
            if is_ordered(definition):
                least = parse(definition, self.text(f"{name}_min"))
                most = parse(definition, self.text(f"{name}_max"))
                if least is None and most is None:
                    return None
                return CustomCondition(definition.key, definition.type, at_least=least, at_most=most)
            values = tuple(parse(definition, value) for value in self.texts(name))
        except FieldError as error:
            self.faults.append(f"{definition.label}: {error}.")
            return None
        flat = tuple(part for value in values for part in (value if isinstance(value, list) else [value]))
        return CustomCondition(definition.key, definition.type, values=flat) if flat else None
