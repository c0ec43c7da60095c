"""Finding contacts: from a filter to rows, in bounded time however many there are.

A list needs two things: the first page in some order, and how many there are. Both must be quick for a filter that
fits ten contacts and for one that fits a million. So up to `COUNTED` matches are gathered, in no order; whether there
are more ("more than 5,000") decides how the page is read. Few are sorted; many are found soon by walking the index of the
order and passing over what does not fit. PostgreSQL alone would have to guess which of the two it is, and guesses
wrong for words, tags, numbers and JSON.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection, transaction
from django.db.models import BooleanField, F, Func, Q, QuerySet, Value
from django.db.models.expressions import RawSQL
from django.db.models.functions import Coalesce, Lower
from django.http import QueryDict

from base.text import to_stored
from crm import blindparts
from crm.enums import FieldType
from crm.fieldtypes import is_storable
from crm.filters import ContactFilter, CustomCondition, parse_filter
from crm.models import Contact, CustomField
from crm.models.contacts import NEVER, NO_CONTACT, NO_SCORE
from crm.models.setup import crm_settings
from crm.phones import PhoneError, spellings, to_e164
from tenants.models import Tenant, User
from thanos.encryption import blind_indexes

PAGE_SIZE = 40
COUNTED = 5_000
_CASTS = {FieldType.NUMBER: "numeric", FieldType.MONEY: "numeric"}

# What orders a list: the expression an index is on, how its value reads in a cursor, and which way it runs.
_ORDERS: dict[str, tuple[Any, str]] = {
    "created": (F("created_at"), "created_at"),
    "updated": (F("updated_at"), "updated_at"),
    "name": (F("sort_name"), "sort_name"),
    "touched": (Coalesce("last_interaction_at", Value(NEVER)), "last_interaction_at"),
    "score": (Coalesce("score", Value(NO_SCORE)), "score"),
}


@dataclass(frozen=True, slots=True)
class ContactPage:
    contacts: Sequence[Contact]
    next_cursor: str | None
    total: int  # at most COUNTED
    is_capped: bool  # there are more than `total`


class FilterError(ValueError):
    """A list's address asks for something that is not understood; the text says for what."""


def contacts_for(query: QueryDict, *, tenant: Tenant, user: User | None, strict: bool = False) -> QuerySet[Contact]:
    """Return the contacts a list's address shows, in no order.

    Raises FilterError, if `strict`, rather than leave out a condition: what changes or hands out everything that fits
    must not fit more than somebody saw.
    """
    chosen = parse_filter(query, CustomField.objects.filter(is_active=True))
    if strict and chosen.faults:
        raise FilterError(chosen.faults[0])
    return filter_contacts(chosen, tenant=tenant, user=user)


def filter_contacts(chosen: ContactFilter, *, tenant: Tenant, user: User | None) -> QuerySet[Contact]:
    contacts: Any = Contact.objects.live().order_by()
    if chosen.text:
        contacts = contacts.filter(_matches(chosen.text))
    for condition in _conditions(chosen, ZoneInfo(tenant.time_zone), user):
        contacts = contacts.filter(condition)
    if chosen.score_min is not None or chosen.score_max is not None:  # as the index of scores has them
        least, most = chosen.score_min, chosen.score_max
        scored = contacts.alias(known_score=Coalesce("score", Value(NO_SCORE))).filter(known_score__gt=NO_SCORE)
        scored = scored.filter(known_score__gte=least) if least is not None else scored
        contacts = scored.filter(known_score__lte=most) if most is not None else scored
    if chosen.cities:
        contacts = contacts.alias(lower_city=Lower("city")).filter(lower_city__in=[city.lower() for city in chosen.cities])
    if chosen.states:
        contacts = contacts.alias(lower_state=Lower("state")).filter(lower_state__in=[s.lower() for s in chosen.states])
    for custom in chosen.custom:
        contacts = _by_custom_field(contacts, custom)
    return contacts  # type: ignore[no-any-return]


def _matches(text: str) -> Q:
    """Return what finds a text: as beginnings of words, and as a number, an address or a street, or a part of one.

    Nothing is decided by the look of the text: `20261234` may be in the notes as well as the end of a number.
    """
    text = to_stored(text).strip()
    found = Q(RawSQL("crm_contact.search @@ public.crm_query(%s)", [text], output_field=BooleanField()))
    if streets := blindparts.street_asked(text):
        found |= _has_all("address_parts", streets)
    if "@" in text or "." in text:
        found |= Q(email_index__in=blind_indexes(text))
        if parts := blindparts.email_asked(text):
            found |= _has_all("email_parts", parts)
    if not any(character.isalpha() for character in text):
        found |= _is_number(text)
    return found


def _is_number(text: str) -> Q:
    found = Q(pk__in=[])
    with suppress(PhoneError):
        numbers = spellings(to_e164(text, crm_settings().phone_region))
        found |= Q(phone_indexes__overlap=[index for number in numbers for index in blind_indexes(number)])
    digits = "".join(character for character in text if character.isdecimal())
    if text.lstrip().startswith("+"):
        found |= Q(phone_indexes__overlap=blind_indexes("+" + digits))
    if tails := blindparts.tails_asked(text):
        found |= Q(phone_indexes__overlap=tails)
    return found


def _has_all(column: str, asked: Sequence[Sequence[str]]) -> Q:
    """Return what has, of each part asked for, the index under one of the keys."""
    found = Q()
    for indexes in asked:
        found &= Q(**{f"{column}__overlap": list(indexes)})
    return found


def _conditions(chosen: ContactFilter, zone: ZoneInfo, user: User | None) -> Iterator[Q]:
    if chosen.statuses:
        yield Q(status__in=chosen.statuses)
    if chosen.owners:
        ids = [owner for owner in chosen.owners if owner.isdigit()]
        ids += [str(user.pk)] if "me" in chosen.owners and user else []
        yield Q(owner__in=ids) | (Q(owner=None) if "none" in chosen.owners else Q(pk__in=[]))
    for tag in chosen.tags:
        yield Q(tags__contains=[tag])
    if chosen.sources:
        yield Q(source__in=chosen.sources)
    if chosen.created_from:
        yield Q(created_at__gte=datetime.combine(chosen.created_from, time.min, zone))
    if chosen.created_to:
        yield Q(created_at__lt=datetime.combine(chosen.created_to + timedelta(days=1), time.min, zone))
    if chosen.quiet_since:
        since = datetime.combine(chosen.quiet_since, time.min, zone)
        yield Q(last_interaction_at__lt=since) | Q(last_interaction_at=None)
    if chosen.has_task is not None:
        yield Q(open_task_count__gt=0) if chosen.has_task else Q(open_task_count=0)
    if chosen.no_contact is not None:
        yield NO_CONTACT if chosen.no_contact else ~NO_CONTACT
    if chosen.ids:
        yield Q(pk__in=chosen.ids)
    if chosen.import_id is not None:
        yield Q(import_id=chosen.import_id)


def _by_custom_field(contacts: Any, condition: CustomCondition) -> Any:
    if condition.type == FieldType.MULTI_SELECT:
        for value in condition.values:
            contacts = contacts.filter(**{f"custom_fields__{condition.key}__contains": [value]})
        return contacts
    name = f"cf_{condition.key}"
    contacts = contacts.alias(**{name: value_expression(condition.key, condition.type)})
    if condition.values:
        texts = [("true" if value else "false") if isinstance(value, bool) else str(value) for value in condition.values]
        return contacts.filter(**{f"{name}__in": texts})
    if condition.at_least is not None:
        contacts = contacts.filter(**{f"{name}__gte": condition.at_least})
    if condition.at_most is not None:
        contacts = contacts.filter(**{f"{name}__lte": condition.at_most})
    return contacts


def value_expression(key: str, kind: str) -> Any:
    """Return a custom field's value as its index holds it (services.fields). The key is one of ours: [a-z0-9_]."""
    from django.db.models import DecimalField, TextField

    cast = _CASTS.get(FieldType(kind))
    if cast:
        return RawSQL(f"((crm_contact.custom_fields ->> '{key}')::numeric)", (), output_field=DecimalField())  # noqa: S611 (a key is a checked word)
    return RawSQL(f"(crm_contact.custom_fields ->> '{key}')", (), output_field=TextField())  # noqa: S611


# --- a page ----------------------------------------------------------------------------------------------------------


def page_of_contacts(
    contacts: QuerySet[Contact], *, sort: str, cursor: str | None = None, size: int = PAGE_SIZE, whole: bool = False
) -> ContactPage:
    """Return one page of a filtered list and how many there are. Notes and addresses only when `whole`."""
    name, falling = sort.removeprefix("-"), sort.startswith("-")
    expression, column = _ORDERS[name]
    with memory_for_many():
        gathered = gather(contacts)
        rows: Any = gathered.among(contacts).alias(sort_by=expression).select_related("owner")
        rows = rows.defer("search") if whole else rows.defer("search", "notes", "address")
        if position := read_cursor(cursor, sort):
            rows = rows.filter(_behind(expression, position, falling=falling))
        order = [F("sort_by").desc(), F("id").desc()] if falling else [F("sort_by").asc(), F("id").asc()]
        with _walking_the_order(gathered.is_capped):
            found = list(rows.order_by(*order)[: size + 1])
    page = found[:size]
    cursor = write_cursor(page[-1], sort, column) if len(found) > size else None
    return ContactPage(page, cursor, gathered.total, gathered.is_capped)


@dataclass(frozen=True, slots=True)
class Gathered:
    """The matches of a filter in no order, as far as they are counted."""

    ids: list[int]
    limit: int

    @property
    def is_capped(self) -> bool:
        return len(self.ids) > self.limit

    @property
    def total(self) -> int:
        return min(len(self.ids), self.limit)

    def among(self, contacts: QuerySet[Contact]) -> QuerySet[Contact]:
        """Return a query for the same contacts that the database need not search again, if they are few."""
        if self.is_capped:
            return contacts
        # One array rather than thousands of parameters.
        one_of = RawSQL("crm_contact.id = ANY(%s)", [self.ids], output_field=BooleanField())
        return Contact.objects.filter(one_of)  # type: ignore[no-any-return]


def gather(contacts: QuerySet[Contact], limit: int | None = None) -> Gathered:
    limit = COUNTED if limit is None else limit
    return Gathered(list(contacts.order_by().values_list("pk", flat=True)[: limit + 1]), limit)


@contextmanager
def memory_for_many() -> Iterator[None]:
    """Matches of two common conditions are maps of the table's rows, which are coarse, and slow, where memory is short."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL work_mem = '32MB'")
        yield


@contextmanager
def _walking_the_order(many: bool) -> Iterator[None]:
    """With many matches keep the planner from gathering and sorting them all. Inside a transaction."""
    if not many:
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off; SET LOCAL enable_seqscan = off")
        yield
        cursor.execute("SET LOCAL enable_bitmapscan = on; SET LOCAL enable_sort = on; SET LOCAL enable_seqscan = on")


def _behind(expression: Any, position: tuple[Any, int], *, falling: bool) -> Any:
    """A comparison of rows, which an index can begin at; with AND and OR it would read everything before."""
    value, pk = position
    operator = "<" if falling else ">"
    return RowComparison(expression, F("id"), Value(value), Value(pk), operator=operator)


class RowComparison(Func):
    """`(a, b) < (x, y)`."""

    conditional = True

    def __init__(self, *expressions: Any, operator: str) -> None:
        super().__init__(*expressions, output_field=BooleanField())
        self.template = f"(%(first)s, %(second)s) {operator} (%(third)s, %(fourth)s)"

    def as_sql(self, compiler: Any, connection: Any, **context: Any) -> Any:  # type: ignore[override]
        parts, params = [], []
        for expression in self.source_expressions:
            sql, values = compiler.compile(expression)
            parts.append(sql)
            params += values
        return self.template % dict(zip(("first", "second", "third", "fourth"), parts, strict=True)), params


def write_cursor(contact: Contact, sort: str, column: str) -> str:
    value = getattr(contact, column)
    if value is None:
        value = NEVER if column == "last_interaction_at" else NO_SCORE
    text = value.isoformat() if isinstance(value, datetime) else value
    return base64.urlsafe_b64encode(json.dumps([sort, text, contact.pk]).encode()).decode().rstrip("=")


def read_cursor(cursor: str | None, sort: str) -> tuple[Any, int] | None:
    """Return where a page ended, or None for the beginning; a cursor of another order is the beginning too."""
    if not cursor:
        return None
    try:
        made_for, value, pk = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if made_for != sort or not isinstance(pk, int) or not 0 <= pk < 2**63:
            return None
        if sort.removeprefix("-") in ("created", "updated", "touched"):
            value = datetime.fromisoformat(value)
            return (value, pk) if value.tzinfo else None
        if sort.removeprefix("-") == "score":
            return (value, pk) if isinstance(value, int) and abs(value) < 2**31 else None
        return (value, pk) if isinstance(value, str) and "\0" not in value and is_storable(value) else None
    except (ValueError, TypeError, binascii.Error, RecursionError):
        return None
