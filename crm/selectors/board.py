"""Contacts by status, side by side."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection
from django.db.models import QuerySet

from crm.models import Contact, ContactStatus
from crm.selectors import contacts as lists
from crm.selectors.contacts import Gathered, gather

COLUMN_SIZE = 20
COUNTED = 500


@dataclass(frozen=True, slots=True)
class Column:
    status: ContactStatus
    contacts: Sequence[Contact]
    total: int
    is_capped: bool


def columns(contacts: QuerySet[Contact]) -> list[Column]:
    """Return what changed last in each status, however many contacts there are.

    What few contacts fit is gathered once and dealt out; of many, each column is looked for by itself, by the index
    that has its status.
    """
    statuses = list(ContactStatus.objects.all())
    with lists.memory_for_many():
        found = list(contacts.order_by().values_list("pk", "status")[: lists.COUNTED + 1])
        if len(found) > lists.COUNTED:
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL enable_seqscan = off")
            return [_column(status, contacts.filter(status=status.key)) for status in statuses]
        ids: dict[str, list[int]] = defaultdict(list)
        for pk, key in found:
            ids[key].append(pk)
        return [_newest(status, contacts, Gathered(ids[status.key], lists.COUNTED)) for status in statuses]


def _column(status: ContactStatus, inside: QuerySet[Contact]) -> Column:
    return _newest(status, inside, gather(inside, COUNTED))


def _newest(status: ContactStatus, inside: QuerySet[Contact], gathered: Gathered) -> Column:
    rows = gathered.among(inside).select_related("owner").defer("search", "notes", "address")
    newest = list(rows.order_by("-updated_at", "-id")[:COLUMN_SIZE])
    return Column(status, newest, gathered.total, gathered.is_capped)
