"""Some thousand rows at a time: read, matched with what is there and with each other, and decided upon.

Nothing is written here. The outcome does not depend on where a file is cut into chunks: rows that came earlier are found
in the table when their chunk is committed, and through `_pending` while it is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from crm.imports.enums import OnDuplicate, OnShared, Outcome
from crm.imports.identity import contradict, identity_of
from crm.imports.matching import MAX_SHARERS, Existing, Key, Row, Seen, SeenRows, find_existing
from crm.imports.rowplan import RowError, Unread, Values
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
    is_earlier: bool = False  # an earlier row of the file, of which the check knows no more than the names
    before: Mapping[str, Any] = field(default_factory=dict)
    changed: Values = field(default_factory=dict)

    @property
    def name(self) -> tuple[str, str]:
        return self.values.get("contact_name") or "", self.values.get("business_name") or ""


@dataclass(slots=True)
class BadRowFound:
    number: int
    cells: Sequence[str]
    reason: str


@dataclass(slots=True)
class UnreadFound:
    """A row that is imported without some of its cells."""

    number: int
    cells: Sequence[str]
    unread: Sequence[Unread]


class Chunk:
    """`deal_with` once, in a transaction; then `new`, `known`, `bad` and `outcomes` say what is to be written."""

    def __init__(
        self,
        setup: Setup,
        on_duplicate: str,
        *,
        on_shared: str = OnShared.CREATE,
        seen: SeenRows | None = None,
        lock: bool = False,
    ) -> None:
        self._setup = setup
        self._mode = OnDuplicate(on_duplicate)
        self._on_shared = OnShared(on_shared)
        self._seen = seen
        self._lock = lock
        self._defaults = setup.defaults
        self._pending: dict[Key, list[Entry]] = {}
        self._existing = Existing(set(), {}, {}, {})
        self.known: dict[int, Entry] = {}
        self.new: list[Entry] = []
        self.bad: list[BadRowFound] = []
        self.unreadable: list[BadRowFound] = []  # those of `bad` that are so whatever the mode
        self.unread: list[UnreadFound] = []
        self.outcomes: Counter[Outcome] = Counter()
        self.shared = 0  # rows with a number or an address of somebody of another name

    def deal_with(self, numbered: Iterable[tuple[int, list[str]]]) -> list[Row]:
        """Return the rows as they were read, for another chunk to `decide` about in another mode."""
        rows = self._read(numbered)
        if self._mode != OnDuplicate.CREATE:
            self._look_up(rows)
        read = [replace(row, values=dict(row.values)) for row in rows] if self._seen else []
        self._decide_all(rows)
        return read

    def decide_like(self, other: Chunk, rows: list[Row]) -> None:
        """Deal with rows that another chunk has read and looked up."""
        self.bad, self.outcomes = list(other.unreadable), Counter({Outcome.BAD: len(other.unreadable)})
        self._existing = other._existing
        self.known = {pk: replace(entry, values=dict(entry.before), changed={}) for pk, entry in other.known.items()}
        self._remember_earlier(rows)
        self._decide_all(rows)

    def _decide_all(self, rows: list[Row]) -> None:
        for row in rows:
            try:
                outcome = self._decide(row)
            except RowError as error:
                self._refuse(row.number, row.cells, error)
                continue
            self.outcomes[outcome] += 1
            if row.unread and outcome in (Outcome.CREATED, Outcome.UPDATED, Outcome.UNCHANGED):
                self.unread.append(UnreadFound(row.number, row.cells, row.unread))
        if self._seen:
            self._seen.add(
                (key, Seen(*entry.name, entry.is_ours))
                for key, entries in self._pending.items()
                for entry in entries
                if not entry.is_earlier
            )

    def _read(self, numbered: Iterable[tuple[int, list[str]]]) -> list[Row]:
        rows = []
        for number, cells in numbered:
            try:
                parsed = self._setup.plan.parse(cells)
                rows.append(Row.of(number, cells, parsed.values, parsed.unread))
            except RowError as error:
                self._refuse(number, cells, error)
        self.unreadable = list(self.bad)
        return rows

    def _refuse(self, number: int, cells: Sequence[str], error: RowError) -> None:
        self.bad.append(BadRowFound(number, cells, str(error)))
        self.outcomes[Outcome.BAD] += 1

    def _look_up(self, rows: list[Row]) -> None:
        self._existing = find_existing(rows)
        if ids := self._existing.everybody():
            self._load(ids)
        self._remember_earlier(rows)

    def _remember_earlier(self, rows: list[Row]) -> None:
        if self._seen:
            keys = (key for row in rows for rule in row.rules() for key in rule)
            for key, earlier in self._seen.among(keys).items():
                self._pending[key] = [
                    Entry(
                        {"contact_name": seen.person, "business_name": seen.business},
                        is_ours=seen.is_ours,
                        is_earlier=True,
                    )
                    for seen in earlier
                ]

    def _load(self, ids: set[int]) -> None:
        names = ("id", "version", "import_id", *self._setup.columns)
        contacts: Any = Contact.objects.live().filter(pk__in=ids).order_by("pk").values(*names)
        if self._lock and self._mode == OnDuplicate.UPDATE:
            contacts = contacts.select_for_update()  # in the order of their ids: two imports wait, and do not deadlock
        for values in contacts:
            ours = values["import_id"] == self._setup.record.pk
            self.known[values["id"]] = Entry(dict(values), values["id"], values["version"], ours, before=values)

    def _match(self, row: Row) -> tuple[Entry | None, str]:
        """Return the contact a row is about, and what it shares with contacts of other names ("" for nothing).

        A stronger rule wins over a weaker one, the table over the chunk, and who came first over who came later.
        """
        if self._mode == OnDuplicate.CREATE:
            return None, ""
        pk = self._existing.by_id(row)
        if pk in self.known:
            return self.known[pk], ""
        shares = ""
        for found, keys in zip(self._existing.rules(row), row.rules(), strict=True):
            kind = keys[0][0] if keys else ""
            for entry in self._candidates(found, keys):
                if kind not in ("e", "p") or not contradict(
                    row.identity, identity_of(*entry.name), shared_address=kind == "e"
                ):
                    return entry, ""
                shares = shares or ("an e-mail address" if kind == "e" else "a phone number")
        return None, shares

    def _candidates(self, found: Iterable[int], keys: Iterable[Key]) -> list[Entry]:
        there = [self.known[pk] for pk in found if pk in self.known]
        there += [entry for key in keys for entry in self._pending.get(key, ())]
        unique = {id(entry): entry for entry in there}.values()
        return sorted(unique, key=lambda entry: (entry.pk is None, entry.pk or 0))

    def _decide(self, row: Row) -> Outcome:
        entry, shares = self._match(row)
        if entry is None:
            if shares:
                self.shared += 1
                if self._on_shared == OnShared.SKIP:
                    raise RowError(f"the row shares {shares} with somebody of another name")
            return self._create(row)
        if self._mode == OnDuplicate.SKIP:
            return Outcome.DUPLICATE if entry.is_ours else Outcome.SKIPPED
        if entry.is_earlier:
            return Outcome.DUPLICATE if entry.is_ours else Outcome.UPDATED
        changed = self._setup.merger.changes(entry.values, self._for_update(entry, row.values))
        entry.values |= changed
        entry.changed |= changed
        self._remember(row, entry)
        if entry.is_ours:
            return Outcome.DUPLICATE
        return Outcome.UPDATED if changed else Outcome.UNCHANGED

    def _create(self, row: Row) -> Outcome:
        values = row.values
        try:
            self._setup.plan.complete(values)
        except RowError as error:
            raise RowError("; ".join([str(error), *map(str, row.unread)])) from None
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
            sharers = self._pending.setdefault(key, [])
            if len(sharers) < MAX_SHARERS and not any(sharer is entry for sharer in sharers):
                sharers.append(entry)
