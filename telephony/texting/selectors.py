"""What the pages of text messages show."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from crm.models import Contact
from crm.phones import PhoneError, is_e164, spellings, to_e164
from telephony.texting.models import Conversation, Message
from tenants.pagination import beyond
from thanos.encryption import blind_indexes

ORDER = ("-is_unread", "-last_at", "-id")
PAGE_SIZE = 50
THREAD_SIZE = 100


@dataclass(frozen=True, slots=True)
class Page:
    conversations: Sequence[Conversation]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Thread:
    """The newest messages, oldest first; `earlier` is the id before which there are more."""

    messages: Sequence[Message]
    earlier: int | None


def find_conversations(query: str = "", *, unread: bool = False, region: str = "") -> QuerySet[Conversation]:
    """Return conversations with a number, or with contacts that are called so; an empty query finds all."""
    found: Any = Conversation.objects.select_related("contact", "last_message")
    if unread:
        found = found.unread()
    query = query.replace("\0", "").strip()
    if not query:
        return found  # type: ignore[no-any-return]
    try:
        forms = spellings(to_e164(query, region))
    except PhoneError:
        forms = (query,)
    indexes = [index for form in forms for index in blind_indexes(form)]
    named = Contact.objects.live().filter(Q(contact_name__icontains=query) | Q(business_name__icontains=query))
    return found.filter(Q(other_index__in=indexes) | Q(contact__in=named.values("pk")))  # type: ignore[no-any-return]


def page_of_conversations(found: Any, cursor: str | None, size: int = PAGE_SIZE) -> Page:
    """Return a page, unread ones first, then by what was said last."""
    if position := _read(cursor):
        found = found.filter(beyond(found, ORDER, position))
    rows = list(found.order_by(*ORDER)[: size + 1])
    page = rows[:size]
    return Page(page, _write(page[-1]) if len(rows) > size else None)


def _write(row: Conversation) -> str:
    data = json.dumps([row.is_unread, row.last_at.isoformat(), row.pk])
    return base64.urlsafe_b64encode(data.encode()).decode().rstrip("=")


def _read(cursor: str | None) -> tuple[bool, datetime, int] | None:
    try:
        unread, at, pk = json.loads(base64.urlsafe_b64decode((cursor or "") + "=" * (-len(cursor or "") % 4)))
        moment = datetime.fromisoformat(at)
        is_ours = isinstance(unread, bool) and moment.tzinfo and isinstance(pk, int) and 0 <= pk < 2**63
        return (unread, moment, pk) if is_ours else None
    except (ValueError, TypeError, binascii.Error, RecursionError):
        return None


def thread(conversation: Conversation, *, before: int | None = None) -> Thread:
    messages: Any = conversation.messages.select_related("user", "call").order_by("-pk")
    if before is not None:
        messages = messages.filter(pk__lt=before)
    rows = list(messages[: THREAD_SIZE + 1])
    page = rows[:THREAD_SIZE]
    return Thread(page[::-1], page[-1].pk if len(rows) > THREAD_SIZE else None)


def numbers_of(contact: Contact) -> list[str]:
    return list(dict.fromkeys(phone["number"] for phone in contact.phones if is_e164(str(phone.get("number", "")))))
