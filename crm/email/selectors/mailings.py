"""Mailings and messages, as their pages show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.paginator import Page, Paginator
from django.db.models import QuerySet

from crm.email.enums import EventKind, MessageState, SkipReason
from crm.email.models import EmailEvent, EmailMessage, Mailing
from crm.email.selectors.reports import SMTP, Figures, cached_figures
from crm.models import Contact

PAGE_SIZE = 20
MESSAGES = 40
EVENTS = 100


@dataclass(frozen=True, slots=True)
class MailingRow:
    mailing: Mailing
    figures: Figures | None  # None: it has not been started


@dataclass(frozen=True, slots=True)
class MailingPage:
    page: Page[Mailing]
    rows: Sequence[MailingRow]


def mailing_page(*, page: str | None = None) -> MailingPage:
    """Mailings, newest first, with what became of each."""
    mailings = Mailing.objects.select_related("version__template").defer("contact_ids", "version__html", "version__text")
    shown = Paginator(mailings, PAGE_SIZE).get_page(page)
    found = cached_figures(list(shown))
    return MailingPage(shown, [MailingRow(mailing, found.get(mailing.pk)) for mailing in shown])


def tells(message: EmailMessage) -> bool:
    """Whether news of this message may still come."""
    is_silent = message.batch is not None and message.batch.provider == SMTP
    return bool(settings.ENV.sendgrid_webhook_public_key) and not is_silent


@dataclass(frozen=True, slots=True)
class MessagePage:
    messages: Sequence[EmailMessage]
    next: UUID | None  # where the page after this one begins


def messages_of(mailing: Mailing, *, state: str = "", reason: str = "", after: str = "") -> MessagePage:
    """Recipients of a mailing by what became of theirs; by id, so that every page costs the same."""
    found = EmailMessage.objects.filter(mailing=mailing).select_related("contact").defer("values", "html", "text")
    if reason in SkipReason.values:
        found = found.filter(state=MessageState.SKIPPED, skip_reason=reason)
    elif state in MessageState.values:
        found = found.filter(state=state)
    if position := uuid_or_none(after):
        found = found.filter(pk__gt=position)
    rows = list(found.order_by("pk")[: MESSAGES + 1])
    return MessagePage(rows[:MESSAGES], rows[MESSAGES - 1].pk if len(rows) > MESSAGES else None)


def uuid_or_none(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Happening:
    at: datetime
    label: str
    kind: str
    detail: str  # the receiving server's words, or the link
    is_machine: bool


_DETAILS = {EventKind.CLICKED: ("url",), EventKind.OPENED: ()}


def happenings(message: EmailMessage) -> list[Happening]:
    """What is known of a message, oldest first: what we did, then what the provider told."""
    found = [Happening(message.queued_at, "Written", "queued", "", False)]
    if message.sent_at:
        found.append(Happening(message.sent_at, "Handed over", "sent", "", False))
    events = EmailEvent.objects.filter(message_id=message.pk).order_by("at", "id")[:EVENTS]
    found += [_happening(event) for event in events]
    if message.replied_at:
        found.append(Happening(message.replied_at, "Answered", "reply", "", False))
    # The provider tells whole seconds: of several in one, what leads to the others comes first.
    return sorted(
        found, key=lambda happening: (happening.at, _FIRST.index(happening.kind) if happening.kind in _FIRST else 9)
    )


_FIRST = ("queued", "sent", EventKind.PROCESSED, EventKind.DEFERRED, EventKind.DELIVERED)


def _happening(event: EmailEvent) -> Happening:
    detail: dict[str, Any] = event.detail if isinstance(event.detail, dict) else {}
    words = (str(detail.get(name) or "") for name in _DETAILS.get(EventKind(event.kind), ("reason", "response", "status")))
    text = next(filter(None, words), "")
    return Happening(event.at, event.get_kind_display(), event.kind, text[:300], event.is_machine)


def latest_messages(contact: Contact, *, limit: int = 5) -> QuerySet[EmailMessage]:
    """What was last sent to a contact, for the page on which they are written to again."""
    found: QuerySet[EmailMessage] = EmailMessage.objects.filter(contact=contact).exclude(state=MessageState.SKIPPED)
    return found.select_related("version", "mailing").defer("values", "html", "text").order_by("-queued_at")[:limit]
