"""What happened with one contact, newest first; and what is to be done, by everybody."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Value

from crm.enums import InteractionKind
from crm.models import Contact, Interaction
from crm.models.interactions import FREE
from crm.selectors.contacts import RowComparison
from tenants.models import User

PAGE_SIZE = 30


@dataclass(frozen=True, slots=True)
class TimelinePage:
    entries: Sequence[Interaction]
    next_cursor: str | None


def timeline(*, contact: Contact, kind: str = "", cursor: str | None = None) -> TimelinePage:
    entries: Any = Interaction.objects.filter(contact=contact)
    if kind in InteractionKind.values:
        entries = entries.filter(kind=kind)
    return page_of_entries(entries, cursor)


def page_of_entries(entries: Any, cursor: str | None, size: int = PAGE_SIZE) -> TimelinePage:
    if position := _read(cursor):
        at, pk = position
        entries = entries.filter(RowComparison(F("interaction_date"), F("id"), Value(at), Value(pk), operator="<"))
    rows = entries.select_related("user").prefetch_related("attachments").order_by("-interaction_date", "-id")
    found = list(rows[: size + 1])
    page = found[:size]
    return TimelinePage(page, _write(page[-1]) if len(found) > size else None)


def _write(entry: Interaction) -> str:
    data = json.dumps([entry.interaction_date.isoformat(), entry.pk])
    return base64.urlsafe_b64encode(data.encode()).decode().rstrip("=")


def _read(cursor: str | None) -> tuple[datetime, int] | None:
    try:
        at, pk = json.loads(base64.urlsafe_b64decode((cursor or "") + "=" * (-len(cursor or "") % 4)))
        moment = datetime.fromisoformat(at)
        return (moment, pk) if moment.tzinfo and isinstance(pk, int) and 0 <= pk < 2**63 else None
    except (ValueError, TypeError, binascii.Error, RecursionError):
        return None


@dataclass(frozen=True, slots=True)
class TaskCounts:
    overdue: int
    today: int
    later: int
    undated: int

    @property
    def due(self) -> int:
        return self.overdue + self.today


def tasks(*, chosen: str, user: User | None, today: date) -> QuerySet[Interaction]:
    """Return open tasks: `overdue`, `today`, `due` (both), `later`, or all of them; of one person, or of everybody.

    What is nobody's and belongs to no contact, such as a message, is among everyone's own.
    """
    found: Any = Interaction.objects.open_tasks().select_related("contact", "user")
    if user is not None:
        found = found.filter(Q(user=user) | FREE)
    when = {
        "due": Q(due_on__lte=today),
        "overdue": Q(due_on__lt=today),
        "today": Q(due_on=today),
        "later": Q(due_on__gt=today) | Q(due_on=None),
    }
    return found.filter(when.get(chosen, Q())).order_by(F("due_on").asc(nulls_last=True), "id")  # type: ignore[no-any-return]


def task_counts(*, user: User | None, today: date) -> TaskCounts:
    found: Any = Interaction.objects.open_tasks()
    if user is not None:
        found = found.filter(Q(user=user) | FREE)
    row = found.order_by().aggregate(
        overdue=Count("pk", filter=Q(due_on__lt=today)),
        today=Count("pk", filter=Q(due_on=today)),
        later=Count("pk", filter=Q(due_on__gt=today)),
        undated=Count("pk", filter=Q(due_on=None)),
    )
    return TaskCounts(**row)
