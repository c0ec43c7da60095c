"""Contacts written many at once: new ones with COPY, changed ones with one UPDATE for a whole chunk."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from crm import blindparts
from crm.models import Contact
from thanos.encryption import blind_index, encrypt

Columns = dict[str, Any]
_ENCRYPTED = frozenset({"contact_email", "address", "phones"})
_ARRAYS = frozenset({"tags", "phone_indexes", "email_parts", "address_parts"})
_JSON = frozenset({"custom_fields", "score_reasons"})


def _fields() -> dict[str, Any]:
    return {str(field.column): field for field in Contact._meta.concrete_fields if not field.generated}


def columns_of(values: Mapping[str, Any]) -> Columns:
    """Return the columns for values of fields, blind indexes and the source of wishes included."""
    found = {key: value for key, value in values.items() if key != "id"}
    if "contact_email" in found:
        found["email_index"] = blind_index(found["contact_email"])
        found["email_parts"] = blindparts.email_parts(found["contact_email"])
    if "phones" in found:
        found["phone_indexes"] = blindparts.phone_indexes(found["phones"])
    if "address" in found:
        found["address_parts"] = blindparts.address_parts(found["address"])
    for flag in ("do_not_call", "do_not_mail"):
        if found.get(f"{flag}_at"):
            found[f"{flag}_source"] = "import"
    return found


def encode(column: str, value: Any) -> Any:
    """Return a column's value as PostgreSQL reads it from text."""
    if value is None:
        return None
    if column in _ENCRYPTED:
        text = json.dumps(value) if column == "phones" else value
        return encrypt(text.encode()).decode() if text else ""
    if column in _ARRAYS:
        return _array(value)
    if column in _JSON:
        return json.dumps(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


def _array(items: Sequence[str]) -> str:
    quoted = (item.replace("\\", "\\\\").replace('"', '\\"') for item in items)
    return "{" + ",".join(f'"{item}"' for item in quoted) + "}"


class Creator:
    """Writes new contacts. `always` are columns that every one of them has."""

    def __init__(self, always: Columns) -> None:
        fields = _fields()
        defaults = {column: field.get_default() for column, field in fields.items() if column != "id"}
        defaults |= always
        # An empty list of numbers is encrypted once for all rows that have none.
        self._defaults = {column: encode(column, value) for column, value in defaults.items()}
        self._order = list(self._defaults)
        names = ", ".join(f'"{column}"' for column in self._order)
        self._sql = f"COPY crm_contact ({names}) FROM STDIN"

    def write(self, contacts: Iterable[Columns]) -> None:
        defaults, order = self._defaults, self._order
        with connection.cursor() as cursor, connection.wrap_database_errors, cursor.copy(self._sql) as copy:
            for contact in contacts:
                copy.write_row(
                    [encode(column, contact[column]) if column in contact else defaults[column] for column in order]
                )


def update_contacts(changes: Sequence[tuple[int, int, Columns]], *, now: datetime, rescore: bool = True) -> set[int]:
    """Change contacts, each `(id, version, columns)`, that are still of that version; return the ids of those changed."""
    if not changes:
        return set()
    fields = _fields()
    names = sorted({name for _, _, columns in changes for name in columns})
    sets, wanted = [], ["id", "version"]
    arrays: list[list[Any]] = [[pk for pk, _, _ in changes], [version for _, version, _ in changes]]
    types = ["bigint", "integer"]
    for number, name in enumerate(names):
        kind = fields[name].db_type(connection)
        sets.append(f'"{name}" = CASE WHEN new.has{number} THEN new.value{number}::{kind} ELSE crm_contact."{name}" END')
        wanted += [f"has{number}", f"value{number}"]
        types += ["boolean", "text"]
        arrays.append([name in columns for _, _, columns in changes])
        arrays.append([_text(encode(name, columns.get(name))) for _, _, columns in changes])
    sets += ["version = crm_contact.version + 1", "updated_at = %s"] + ["scored_at = NULL"] * rescore
    unnested = ", ".join(f"%s::{kind}[]" for kind in types)
    sql = f"""
        UPDATE crm_contact SET {", ".join(sets)} FROM unnest({unnested}) AS new ({", ".join(wanted)})
        WHERE crm_contact.id = new.id AND crm_contact.version = new.version AND crm_contact.deleted_at IS NULL
        RETURNING crm_contact.id
    """
    with connection.cursor() as cursor:
        cursor.execute(sql, [now, *arrays])
        return {pk for (pk,) in cursor.fetchall()}


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def plain(value: Any) -> Any:
    """Return a column's value as a snapshot keeps it (crm.services.snapshots)."""
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


def copy_rows(table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    write: Callable[[Sequence[Any]], None]
    with connection.cursor() as cursor, connection.wrap_database_errors:
        with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
            write = copy.write_row
            for row in rows:
                write(row)
