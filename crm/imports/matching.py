"""Which rows are about contacts that are there already, or about each other. One question for each rule and chunk.

The rules are those of crm.services.contacts.find_duplicates, the strongest first: the id of an export, the e-mail
address, a number, the name in the business. An address or a number counts only where the names do not contradict each
other (crm.imports.identity): people share them. A name alone (of a person without a business, or of a business without a
person) counts only where one of the two has neither address nor number: half the world is called John Smith.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from django.db import connection

from crm.imports.identity import Identity, identity_of
from crm.imports.mapping import ID
from crm.imports.rowplan import Unread, Values
from thanos.encryption import blind_indexes

Key = tuple[str, ...]
# Of those who share a number or an address, this many are compared by name. More share a switchboard, and nothing else.
MAX_SHARERS = 100


@dataclass(slots=True)
class Row:
    number: int
    cells: Sequence[str]
    values: Values
    unread: Sequence[Unread] = ()
    emails: list[str] = field(default_factory=list)  # blind indexes, under every key
    phones: list[str] = field(default_factory=list)
    name: tuple[str, str] | None = None

    @classmethod
    def of(cls, number: int, cells: Sequence[str], values: Values, unread: Sequence[Unread] = ()) -> Row:
        row = cls(number, cells, values, unread)
        row.refresh()
        return row

    @property
    def identity(self) -> Identity:
        return identity_of(*(self.name or ("", "")))

    def refresh(self) -> None:
        values = self.values
        if email := values.get("contact_email"):
            self.emails = blind_indexes(email)
        if phones := values.get("phones"):
            self.phones = [index for phone in phones for index in blind_indexes(phone["number"])]
        person, business = values.get("contact_name", ""), values.get("business_name", "")
        self.name = (person, business) if person or business else None

    @property
    def is_bare(self) -> bool:
        return not self.emails and not self.phones

    def rules(self) -> Iterator[list[Key]]:
        """Yield, strongest rule first, the keys under which an earlier row would be the same contact."""
        yield [("e", index) for index in self.emails]
        yield [("p", index) for index in self.phones]
        if self.name:
            yield [self._name_key("n" if all(self.name) else "a" if self.is_bare else "b")]

    def own_keys(self) -> list[Key]:
        """Return the keys under which later rows find this one."""
        found: list[Key] = [("e", index) for index in self.emails]
        found += [("p", index) for index in self.phones]
        if self.name and all(self.name):
            found.append(self._name_key("n"))
        elif self.name:
            found.append(self._name_key("a"))
            if self.is_bare:
                found.append(self._name_key("b"))
        return found

    def _name_key(self, kind: Literal["n", "a", "b"]) -> Key:
        person, business = self.name or ("", "")
        return (kind, person.lower(), business.lower())


@dataclass(slots=True)
class Existing:
    """Contacts that are there, by what a chunk's rows would find them by."""

    ids: set[int]
    emails: dict[str, list[int]]
    phones: dict[str, list[int]]
    names: dict[int, int]  # by the row's number

    def by_id(self, row: Row) -> int | None:
        wanted = row.values.get(ID)
        return wanted if wanted in self.ids else None

    def rules(self, row: Row) -> Iterator[list[int]]:
        """Yield whom each rule finds, in the order of `Row.rules`."""
        yield sorted({pk for index in row.emails for pk in self.emails.get(index, ())})
        yield sorted({pk for index in row.phones for pk in self.phones.get(index, ())})
        if row.name:
            yield [self.names[row.number]] if row.number in self.names else []

    def everybody(self) -> set[int]:
        sharers = (pk for found in (self.emails, self.phones) for ids in found.values() for pk in ids)
        return self.ids | set(sharers) | set(self.names.values())


def find_existing(rows: Sequence[Row]) -> Existing:
    """Must run in a transaction: it says, for as long as that lasts, that the table is to be walked by its indexes.

    The planner's statistics may be those of an empty table, and it would then read all of one that is large by now.
    """
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL jit = off")
        return Existing(
            _ids(cursor, [row.values[ID] for row in rows if ID in row.values]),
            _emails(cursor, [index for row in rows for index in row.emails]),
            _phones(cursor, [index for row in rows for index in row.phones]),
            _names(cursor, [row for row in rows if row.name]),
        )


def _ids(cursor: Any, wanted: list[int]) -> set[int]:
    if not wanted:
        return set()
    cursor.execute("SELECT id FROM crm_contact WHERE id = ANY(%s) AND deleted_at IS NULL", [wanted])
    return {pk for (pk,) in cursor.fetchall()}


def _emails(cursor: Any, wanted: list[str]) -> dict[str, list[int]]:
    if not wanted:
        return {}
    cursor.execute(
        """
        SELECT email_index, (array_agg(id ORDER BY id))[:%s] FROM crm_contact
        WHERE email_index = ANY(%s) AND email_index <> '' AND deleted_at IS NULL GROUP BY 1
        """,
        [MAX_SHARERS, wanted],
    )
    return dict(cursor.fetchall())


def _phones(cursor: Any, wanted: list[str]) -> dict[str, list[int]]:
    if not wanted:
        return {}
    # What was just written waits in a list beside the index, which is read once for every number that is looked for:
    # emptied first, looking takes a hundredth of the time. And the planner, which knows little of arrays, is left no
    # other way than through that index; the condition on deleted_at would offer it others, so it comes behind.
    cursor.execute("SELECT gin_clean_pending_list('contact_phones'::regclass); SET LOCAL enable_indexscan = off")
    cursor.execute(
        """
        WITH found AS MATERIALIZED (
          SELECT id, phone_indexes, deleted_at FROM crm_contact WHERE phone_indexes && %s::varchar[]
        )
        SELECT number, (array_agg(id ORDER BY id))[:%s] FROM found, unnest(phone_indexes) AS number
        WHERE deleted_at IS NULL AND number = ANY(%s) GROUP BY 1
        """,
        [wanted, MAX_SHARERS, wanted],
    )
    found = dict(cursor.fetchall())
    cursor.execute("SET LOCAL enable_indexscan = on")
    return found


def _names(cursor: Any, rows: Sequence[Row]) -> dict[int, int]:
    if not rows:
        return {}
    # LATERAL, so that each name is one walk down the index of names, however large the table is.
    cursor.execute(
        """
        SELECT wanted.number, found.id
        FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::boolean[]) AS wanted (number, person, business, bare),
        LATERAL (
          SELECT id FROM crm_contact
          WHERE sort_name = lower(coalesce(nullif(wanted.person, ''), wanted.business)) AND deleted_at IS NULL
            AND lower(business_name) = lower(wanted.business) AND (contact_name = '') = (wanted.person = '')
            AND ((wanted.person <> '' AND wanted.business <> '') OR wanted.bare
                 OR (email_index = '' AND phone_indexes = '{}'))
          ORDER BY id LIMIT 1
        ) AS found
        """,
        [
            [row.number for row in rows],
            [row.name[0] for row in rows if row.name],
            [row.name[1] for row in rows if row.name],
            [row.is_bare for row in rows],
        ],
    )
    return dict(cursor.fetchall())


@dataclass(frozen=True, slots=True)
class Seen:
    """What the check knows of an earlier row: whom it named, and whether that contact would be new."""

    person: str
    business: str
    is_ours: bool


class SeenRows:
    """What rows of a file came before, for the check, which writes nothing. Kept by PostgreSQL, not in memory."""

    def __init__(self, name: str) -> None:
        self._table = f"crm_import_seen_{name}"

    def __enter__(self) -> SeenRows:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS pg_temp.{self._table}")
            cursor.execute(
                f"CREATE TEMPORARY TABLE {self._table} "
                "(key bigint, name bigint, person text, business text, is_ours boolean, PRIMARY KEY (key, name))"
            )
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        if (
            kind is None
        ):  # otherwise the transaction may be broken; the table ends with the connection, or at the next check
            with connection.cursor() as cursor:
                cursor.execute(f"DROP TABLE IF EXISTS pg_temp.{self._table}")

    def among(self, keys: Iterable[Key]) -> dict[Key, list[Seen]]:
        """Return what earlier chunks had under these keys."""
        hashed = {_hash(key): key for key in keys}
        found: dict[Key, list[Seen]] = {}
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT key, person, business, is_ours FROM {self._table} WHERE key = ANY(%s) ORDER BY key, name",
                [list(hashed)],
            )
            for number, person, business, is_ours in cursor.fetchall():
                found.setdefault(hashed[number], []).append(Seen(person, business, is_ours))
        return found

    def add(self, rows: Iterable[tuple[Key, Seen]]) -> None:
        columns = [
            (_hash(key), _hash((seen.person, seen.business)), seen.person, seen.business, seen.is_ours)
            for key, seen in rows
        ]
        if not columns:
            return
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {self._table} SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[], "
                "%s::boolean[]) ON CONFLICT DO NOTHING",
                [list(column) for column in zip(*columns, strict=True)],
            )


def _hash(key: Key) -> int:
    return int.from_bytes(hashlib.blake2b("\0".join(key).encode(), digest_size=8).digest(), signed=True)
