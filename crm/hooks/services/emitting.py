"""Telling other programs what happened: written with the change itself, sent after its commit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone

from crm.hooks.enums import Event
from crm.hooks.models import WebhookDelivery, WebhookEndpoint
from crm.hooks.services.waking import wake_after_commit

ROWS_PER_INSERT = 5_000


def emit(*, event: Event, data: Mapping[str, Any], key: str = "") -> None:
    """Have an event delivered to whoever subscribed to it. Run inside the tenant and the change's own transaction.

    Rolled back with the change, and never lost once that is committed. One query when nobody subscribes.
    `data` is whatever Django's JSON encoder takes. `key`, when given, names this very event (`"<id>:<version>"`; not a
    person's name or number): the same event and key a second time, as from a task that runs twice, is sent once.
    """
    emit_many(event=event, items=[(data, key)])


def emit_many(*, event: Event, items: Iterable[tuple[Mapping[str, Any], str]]) -> None:
    """Emit one event for each pair of data and key (or ""), thousands at once: an INSERT for every 5,000 rows.

    `items` is not even looked at when nobody subscribes, so a generator costs nothing then.
    """
    now = timezone.now()
    endpoints = list(WebhookEndpoint.objects.subscribed(event, now=now).values_list("pk", flat=True))
    if not endpoints:
        return
    rows: list[WebhookDelivery] = []
    for data, key in items:
        rows += _rows(endpoints, event, data, key)
        if len(rows) >= ROWS_PER_INSERT:
            _insert(rows)
            rows = []
    _insert(rows)
    wake_after_commit(endpoints)


def _rows(endpoints: Sequence[UUID], event: Event, data: Mapping[str, Any], key: str) -> list[WebhookDelivery]:
    payload = json.loads(json.dumps(data, cls=DjangoJSONEncoder, allow_nan=False))
    now = timezone.now()
    return [
        WebhookDelivery(endpoint_id=pk, event=event, key=key, payload=payload, created_at=now, next_attempt_at=now)
        for pk in endpoints
    ]


def _insert(rows: list[WebhookDelivery]) -> None:
    if rows:
        WebhookDelivery.objects.bulk_create(rows, ignore_conflicts=True)
