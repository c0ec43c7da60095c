"""News of messages, as it comes: told apart by organisation, stored once each, and applied a little later."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from crm.email.enums import EventKind
from crm.email.fates import is_by_machine, kind_of
from crm.email.models import EmailEvent, EmailMessage
from tenants.celery import HEADER, publish
from tenants.context import entered, in_public
from tenants.models import Tenant
from thanos.encryption import blind_indexes

ROWS_PER_INSERT = 1_000
LOST_AT_ONCE = 200  # of one request: each may be looked for in every organisation
_ID_LENGTH = 120
_TEXT_LENGTH = 600
# What we put into every message's custom arguments.
TENANT_ARG, MESSAGE_ARG = "thanos_tenant", "thanos_message"
_KEPT = {
    "reason": "reason",
    "response": "response",
    "status": "status",
    "bounce_classification": "classification",
    "type": "type",
    "url": "url",
    "useragent": "agent",
    "attempt": "attempt",
}
# What is told besides of a delivery or an open serves nobody.
_DETAILED = (EventKind.DEFERRED, EventKind.CLICKED, EventKind.BOUNCED, EventKind.BLOCKED, EventKind.DROPPED)
# Worth a search when their custom arguments are missing, as they are in late bounces.
_GRAVE = (EventKind.BOUNCED, EventKind.BLOCKED, EventKind.DROPPED, EventKind.SPAM, EventKind.UNSUBSCRIBED)


class MalformedError(ValueError):
    """The body is not a JSON list."""


_INSERT = """
INSERT INTO crm_email_emailevent (provider_event_id, message_id, kind, at, detail, is_machine, received_at)
SELECT new.*, %s FROM unnest(%s::text[], %s::uuid[], %s::text[], %s::timestamptz[], %s::text[], %s::bool[]) AS new
ON CONFLICT (provider_event_id) DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Stored:
    taken: int  # handed to the database, which knows some of it already
    ignored: int  # of no organisation here, or of nothing we know


@dataclass(slots=True)
class _News:
    event_id: str
    kind: str
    at: datetime
    detail: dict[str, str] | None
    is_machine: bool
    message_id: UUID | None
    schema: str
    address: str
    batch: str  # the provider's id of the request


def read_events(body: bytes) -> list[Any]:
    """Return the list in a request's body. Raises MalformedError."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise MalformedError("not JSON") from None
    if not isinstance(found, list):
        raise MalformedError("not a list")
    return found


def store_events(events: Sequence[Any]) -> Stored:
    """Store what is news of an organisation's messages, and have it applied. Run outside of any tenant.

    The same event a second time is passed over by the database. Safe to repeat after a failure half-way.
    """
    read = [news for news in map(_read, events) if news is not None]
    by_schema: dict[str, list[_News]] = defaultdict(list)
    lost: list[_News] = []
    for news in read:
        if news.schema and news.message_id is not None:
            by_schema[news.schema].append(news)
        else:
            lost.append(news)
    with in_public():
        tenants = {tenant.schema_name: tenant for tenant in Tenant.objects.real()} if read else {}
    for schema, found in _find(lost, tenants.values()):
        by_schema[schema].extend(found)
    taken = 0
    for schema, several in by_schema.items():
        if schema in tenants:
            _store(tenants[schema], several)
            taken += len(several)
    return Stored(taken, len(events) - taken)


def _store(tenant: Tenant, news: list[_News]) -> None:
    # In one order, so that two requests with the same news do not wait for each other.
    news.sort(key=lambda one: one.event_id)
    with entered(tenant), transaction.atomic(), connection.cursor() as cursor:
        for begin in range(0, len(news), ROWS_PER_INSERT):
            _insert(cursor, news[begin : begin + ROWS_PER_INSERT])
        apply_later(tenant.schema_name)


def _insert(cursor: Any, news: Sequence[_News]) -> None:
    """Not the ORM's `bulk_create`, which takes three times as long for as many rows."""
    sealed = EmailEvent._meta.get_field("detail").get_prep_value
    columns: list[list[Any]] = [
        [one.event_id for one in news],
        [one.message_id for one in news],
        [one.kind for one in news],
        [one.at for one in news],
        [sealed(one.detail) for one in news],
        [one.is_machine for one in news],
    ]
    cursor.execute(_INSERT, [timezone.now(), *columns])


def apply_later(schema: str) -> None:
    """Have stored news applied once the open transaction is committed; what is lost on the way the sweep finds."""
    from crm.email.tasks.events import apply_events

    transaction.on_commit(lambda: publish(apply_events, headers={HEADER: schema}))


def _read(event: Any) -> _News | None:
    """Return one piece of news, its message still missing where it names none; None for what says nothing to us."""
    if not isinstance(event, dict):
        return None
    event_id, at = _text(event, "sg_event_id"), _moment(event.get("timestamp"))
    kind = kind_of(_text(event, "event"), _text(event, "type"))
    if not event_id or at is None or kind is None:
        return None
    return _News(
        event_id=event_id if len(event_id) <= _ID_LENGTH else hashlib.sha256(event_id.encode()).hexdigest(),
        kind=kind.value,
        at=at,
        detail=_detail(event) if kind in _DETAILED else None,
        is_machine=is_by_machine(kind=kind, says_so=event.get("sg_machine_open") is True, agent=_text(event, "useragent")),
        message_id=_uuid(event.get(MESSAGE_ARG)),
        schema=_text(event, TENANT_ARG),
        address=_text(event, "email"),
        batch=_text(event, "sg_message_id").partition(".")[0],
    )


def _text(event: dict[str, Any], name: str) -> str:
    value = event.get(name)
    if not isinstance(value, str):
        return ""
    # JSON may hold what neither UTF-8 nor PostgreSQL can: halves of characters, and NUL.
    return value.encode("utf-8", "ignore").decode().replace("\0", "")


def _detail(event: dict[str, Any]) -> dict[str, str] | None:
    found = {ours: _text(event, theirs)[:_TEXT_LENGTH] for theirs, ours in _KEPT.items() if event.get(theirs)}
    return found or None


def _moment(value: Any) -> datetime | None:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:15])
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return datetime.fromtimestamp(int(value), UTC) if value > 0 else None
    except (ValueError, OverflowError, OSError):
        return None


def _uuid(value: Any) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _find(lost: Sequence[_News], tenants: Iterable[Tenant]) -> list[tuple[str, list[_News]]]:
    """Find the messages of news without our arguments: by the request they went with, and the address they went to."""
    wanted = [one for one in lost if one.batch and one.address and one.kind in _GRAVE][:LOST_AT_ONCE]
    if not wanted:
        return []
    indexes = {index: news.address for news in wanted for index in blind_indexes(news.address)}
    named = {news.schema for news in wanted}
    found = []
    for tenant in tenants:
        if "" not in named and tenant.schema_name not in named:
            continue
        with entered(tenant):
            rows = EmailMessage.objects.filter(
                email_index__in=list(indexes), batch__provider_id__in={news.batch for news in wanted}
            ).values_list("batch__provider_id", "email_index", "pk")
            messages = {(batch, indexes[index]): pk for batch, index, pk in rows}
        found.append((tenant.schema_name, _matched(wanted, tenant.schema_name, messages)))
    return [(schema, several) for schema, several in found if several]


def _matched(wanted: Iterable[_News], schema: str, messages: dict[tuple[str, str], UUID]) -> list[_News]:
    found = []
    for news in wanted:
        message_id = messages.get((news.batch, news.address))
        if message_id is not None and news.schema in ("", schema):
            found.append(replace(news, message_id=message_id))
    return found
