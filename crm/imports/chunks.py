"""Some thousand rows at a time: read, matched with what is there and with each other, and decided upon.

Nothing is written here. The outcome does not depend on where a file is cut into chunks: rows that came earlier are found
in the table when their chunk is committed, and through `_pending` while it is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crm.imports.enums import OnDuplicate, Outcome
from crm.imports.matching import Existing, Key, Row, SeenRows, find_existing
from crm.imports.rowplan import RowError, Values
from crm.imports.setup import Setup
from crm.models import Contact

# Small enough for memory, locks and a live progress bar; large enough that the questions for each chunk do not count.
ROWS = 2_000


@dataclass(slots=True)
class Entry:
    """A contact that rows of the chunk are about: one that is there, or one that is to be made."""

    values: Values  # as they are after the rows so far
    pk: int | None = None
    version: int = 0
    is_ours: bool = False  # made by this import
    before: Mapping[str, Any] = field(default_factory=dict)
    changed: Values = field(default_factory=dict)


@dataclass(slots=True)
class BadRowFound:
    number: int
    cells: Sequence[str]
    reason: str


_SEEN = Entry({}, is_ours=True)  # an earlier row of the file, of which the check knows no more


class Chunk:
    """`deal_with` once, in a transaction; then `new`, `known`, `bad` and `outcomes` say what is to be written."""

    def __init__(self, setup: Setup, on_duplicate: str, *, seen: SeenRows | None = None, lock: bool = False) -> None:
        self._setup = setup
        self._mode = OnDuplicate(on_duplicate)
        self._seen = seen
        self._lock = lock
        self._defaults = setup.defaults
        self._pending: dict[Key, Entry] = {}
        self._existing = Existing(set(), {}, {}, {})
        self.known: dict[int, Entry] = {}
        self.new: list[Entry] = []
        self.bad: list[BadRowFound] = []
        self.outcomes: Counter[Outcome] = Counter()

    def deal_with(self, numbered: Iterable[tuple[int, list[str]]]) -> None:
        rows = self._read(numbered)
        if self._mode != OnDuplicate.CREATE:
            self._look_up(rows)
        for row in rows:
            try:
                outcome = self._decide(row)
            except RowError as error:
                self._refuse(row.number, row.cells, error)
            else:
                self.outcomes[outcome] += 1
        if self._seen:
            self._seen.add(self._pending)

    def _read(self, numbered: Iterable[tuple[int, list[str]]]) -> list[Row]:
        rows = []
        for number, cells in numbered:
            try:
                rows.append(Row.of(number, cells, self._setup.plan.parse(cells)))
            except RowError as error:
                self._refuse(number, cells, error)
        return rows

    def _refuse(self, number: int, cells: Sequence[str], error: RowError) -> None:
        self.bad.append(BadRowFound(number, cells, str(error)))
        self.outcomes[Outcome.BAD] += 1

    def _look_up(self, rows: list[Row]) -> None:
        found = self._existing = find_existing(rows)
        ids = found.ids | set(found.emails.values()) | set(found.phones.values()) | set(found.names.values())
        if ids:
            self._load(ids)
        if self._seen:
            keys = (key for row in rows for rule in row.rules() for key in rule)
            self._pending = dict.fromkeys(self._seen.among(keys), _SEEN)

    def _load(self, ids: set[int]) -> None:
        names = ("id", "version", "import_id", *self._setup.columns)
        contacts: Any = Contact.objects.live().filter(pk__in=ids).order_by("pk").values(*names)
        if self._lock and self._mode == OnDuplicate.UPDATE:
            contacts = contacts.select_for_update()  # in the order of their ids: two imports wait, and do not deadlock
        for values in contacts:
            ours = values["import_id"] == self._setup.record.pk
            self.known[values["id"]] = Entry(dict(values), values["id"], values["version"], ours, values)

    def _match(self, row: Row) -> Entry | None:
        """Return the contact a row is about. A stronger rule wins over a weaker one, the table over the chunk."""
        if self._mode == OnDuplicate.CREATE:
            return None
        pk = self._existing.by_id(row)
        if pk in self.known:
            return self.known[pk]
        for found, keys in zip(self._existing.rules(row), row.rules(), strict=True):
            if found in self.known:
                return self.known[found]
            for key in keys:
                if key in self._pending:
                    return self._pending[key]
        return None

    def _decide(self, row: Row) -> Outcome:
        entry = self._match(row)
        if entry is None:
            return self._create(row)
        if entry is _SEEN:
            return Outcome.DUPLICATE
        if self._mode == OnDuplicate.SKIP:
            return Outcome.DUPLICATE if entry.is_ours else Outcome.SKIPPED
        changed = self._setup.merger.changes(entry.values, self._for_update(entry, row.values))
        entry.values |= changed
        entry.changed |= changed
        self._remember(row, entry)
        if entry.is_ours:
            return Outcome.DUPLICATE
        return Outcome.UPDATED if changed else Outcome.UNCHANGED

    def _create(self, row: Row) -> Outcome:
        values = row.values
        self._setup.plan.complete(values)
        if tags := self._defaults.get("tags"):
            values["tags"] = list(dict.fromkeys((*tags, *values.get("tags", ()))))
        entry = Entry({**self._defaults, **values}, is_ours=True)
        self.new.append(entry)
        self._remember(row, entry)
        return Outcome.CREATED

    def _for_update(self, entry: Entry, values: Values) -> Values:
        """The import's tags are for every row; its source and owner only for contacts that have none."""
        empty = (key for key in ("source", "owner_id") if not entry.values.get(key))
        more: Values = {key: self._defaults[key] for key in empty if key in self._defaults}
        if tags := self._defaults.get("tags"):
            values = {**values, "tags": list(dict.fromkeys((*tags, *values.get("tags", ()))))}
        return {**more, **values} if more else values

    def _remember(self, row: Row, entry: Entry) -> None:
        for key in row.own_keys():
            self._pending.setdefault(key, entry)
