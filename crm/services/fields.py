"""Custom fields: made and changed without a migration, and without surprising what is already there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.db.models import Max

from crm.enums import FieldType
from crm.fieldtypes import FieldError, Reading, parse, to_text
from crm.models import Contact, CustomField
from tenants.celery import publish

CHUNK = 1000
INDEXING = 1  # the lock held while an index is made, one for each tenant


@dataclass(frozen=True, slots=True)
class Effect:
    """What a changed definition would do to the values there are."""

    total: int  # contacts that have a value
    kept: int
    converted: int
    lost: int
    examples: list[str]  # values that would be lost


def save_field(*, field: CustomField) -> CustomField:
    """Store a new definition, or one whose type and options did not change."""
    if field.pk is None and not field.position:
        field.position = (CustomField.objects.aggregate(last=Max("position"))["last"] or 0) + 1
    field.save()
    _index_later(field)
    return field


def effect_of(*, old: CustomField, new: CustomField) -> Effect:
    """Return what changing a field's type or options would do, without doing it."""
    total = kept = converted = lost = 0
    examples: list[str] = []
    for _, value in _values(old.key):
        total += 1
        becomes = _convert(old, new, value)
        if becomes is None:
            lost += 1
            if len(examples) < 5 and (text := to_text(old, value)) not in examples:
                examples.append(text)
        elif becomes == value:
            kept += 1
        else:
            converted += 1
    return Effect(total, kept, converted, lost, examples)


def change_field(*, old: CustomField, new: CustomField) -> CustomField:
    """Store a changed definition and convert the values; what does not fit the new one is dropped."""
    with transaction.atomic():
        if old.type != new.type:
            # An index of numbers would refuse the first text; a new one is made beside the traffic.
            with connection.cursor() as cursor:
                cursor.execute(f"DROP INDEX IF EXISTS {index_name(old)}")
        new.save()
        after = 0
        while rows := _locked_with(old.key, after):
            _convert_rows(old, new, rows)
            after = rows[-1].pk
    _index_later(new)
    return new


def _locked_with(key: str, after: int) -> list[Contact]:
    having = Contact.objects.select_for_update().filter(custom_fields__has_key=key, pk__gt=after)
    return list(having.only("pk", "custom_fields", "version").order_by("pk")[:CHUNK])


def _convert_rows(old: CustomField, new: CustomField, rows: list[Contact]) -> None:
    changed = []
    for contact in rows:
        value = contact.custom_fields[old.key]
        becomes = _convert(old, new, value)
        if becomes == value:
            continue
        contact.custom_fields.pop(old.key)
        if becomes is not None:
            contact.custom_fields[old.key] = becomes
        contact.version += 1
        changed.append(contact)
    Contact.objects.bulk_update(changed, ["custom_fields", "version"])


def _values(key: str) -> Iterable[tuple[int, Any]]:
    having: Any = Contact.objects.filter(custom_fields__has_key=key).order_by("pk")
    for pk, fields in having.values_list("pk", "custom_fields").iterator(chunk_size=CHUNK):
        yield pk, fields[key]


def _convert(old: CustomField, new: CustomField, value: Any) -> Any:
    try:
        if old.type == new.type:
            return parse(new, value)
        raw = value if isinstance(value, list) and new.type == FieldType.MULTI_SELECT else to_text(old, value)
        return parse(new, raw, Reading())
    except FieldError:
        return None


def _index_later(field: CustomField) -> None:
    from crm.tasks import index_custom_field

    transaction.on_commit(lambda: publish(index_custom_field, field_id=field.pk))


def index_name(field: CustomField) -> str:
    return f"contact_cf_{field.pk}"


def index_field(*, field: CustomField, concurrently: bool = True) -> bool:
    """Give a field an index of its own, so that a list filtered by it is quick; return whether that was possible now.

    Made beside the running traffic (`concurrently`), and then not in a transaction. Of two indexes made at once, each
    would wait for the other to end: the second comes back later. Safe to repeat: an index of an older type, or one
    half made, is replaced.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtext(current_schema()), %s)", [INDEXING])
        if not cursor.fetchone()[0]:
            return False
        try:
            _replace_index(field, "CONCURRENTLY" if concurrently else "")
        finally:
            cursor.execute("SELECT pg_advisory_unlock(hashtext(current_schema()), %s)", [INDEXING])
    return True


def _replace_index(field: CustomField, how: str) -> None:
    name = index_name(field)
    with connection.cursor() as cursor:
        cursor.execute(f"DROP INDEX {how} IF EXISTS {name}")
        if _wants_index(field):
            cursor.execute(f"CREATE INDEX {how} {name} ON crm_contact {_index_expression(field)}")
            cursor.execute("ANALYZE crm_contact")


def _wants_index(field: CustomField) -> bool:
    return field.is_active and field.type != FieldType.LONG_TEXT


def fields_without_index() -> list[int]:
    """Return the fields whose index is missing or was only half made, as when a worker is killed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class JOIN pg_index ON indexrelid = pg_class.oid "
            "WHERE relnamespace = current_schema()::regnamespace AND relname LIKE 'contact\\_cf\\_%' AND indisvalid"
        )
        there = {name for (name,) in cursor.fetchall()}
    return [field.pk for field in CustomField.objects.all() if _wants_index(field) and index_name(field) not in there]


def _index_expression(field: CustomField) -> str:
    if field.type == FieldType.MULTI_SELECT:
        return f"USING gin ((custom_fields -> '{field.key}'))"
    if field.type in (FieldType.NUMBER, FieldType.MONEY):
        return f"(((custom_fields ->> '{field.key}')::numeric))"
    return f"((custom_fields ->> '{field.key}'))"
