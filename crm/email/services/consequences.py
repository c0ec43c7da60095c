"""What follows from news of a message besides its own columns: suppression, notes, other programs being told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from crm.email.enums import EventKind, MessageState, SuppressionReason
from crm.email.fates import suppression_of
from crm.email.models import EmailEvent, EmailMessage
from crm.email.services.suppressing import suppress
from crm.email.services.timeline import note_wish
from crm.hooks.enums import Event
from crm.hooks.services.emitting import emit_many
from crm.models import Contact
from thanos.encryption import blind_indexes
from thanos.log import redact

if TYPE_CHECKING:
    from crm.email.services.applying import Change

# News that may be a reason never to write to an address again.
_GRAVE = (EventKind.BOUNCED, EventKind.DROPPED, EventKind.SPAM, EventKind.UNSUBSCRIBED)
_WISHES = (SuppressionReason.UNSUBSCRIBED, SuppressionReason.SPAM)


def draw_consequences(*, claimed: Sequence[tuple[int, UUID, str]], changes: Iterable[Change], now: datetime) -> None:
    """Act on news (event, message, kind) that was claimed in the open transaction, and on what it changed."""
    grave = [(pk, message_id) for pk, message_id, kind in claimed if kind in _GRAVE]
    if grave:
        _suppress(grave)
    _tell(changes)


def _suppress(grave: Sequence[tuple[int, UUID]]) -> None:
    reasons: dict[tuple[UUID, SuppressionReason], tuple[str, datetime]] = {}
    rows = EmailEvent.objects.filter(pk__in=[pk for pk, _ in grave]).order_by("at", "provider_event_id")
    for message_id, kind, detail, at in rows.values_list("message_id", "kind", "detail", "at"):
        reason = suppression_of(kind, detail or {})
        if reason is not None:
            reasons.setdefault((message_id, reason), ((detail or {}).get("reason", ""), at))
    wanted = EmailMessage.objects.filter(pk__in={message_id for message_id, _ in reasons})
    messages = {message.pk: message for message in wanted.only("pk", "to_email", "contact_id")}
    lock_contacts(message.to_email for message in messages.values())
    for (message_id, reason), (words, at) in reasons.items():
        message = messages.get(message_id)
        if message is None or not message.to_email:
            continue
        is_new = suppress(address=message.to_email, reason=reason, message=message, detail=redact(words)[:200])
        if is_new and reason in _WISHES:
            note_wish(message=message, wish=reason, at=at)


def lock_contacts(addresses: Iterable[str]) -> None:
    """Hold everybody who has one of these addresses, in the order everybody else locks contacts in."""
    indexes = [index for address in addresses for index in blind_indexes(address)]
    if indexes:
        list(Contact.objects.select_for_update().filter(email_index__in=indexes).order_by("pk").values_list("pk"))


def _tell(changes: Iterable[Change]) -> None:
    bounced, unsubscribed = [], []
    for change in changes:
        before, after = change.before, change.after
        if after.state == MessageState.BOUNCED and before.state != MessageState.BOUNCED:
            bounced.append(
                (payload(change.id, change.contact_id, change.mailing_id, after.bounced_at), f"bounced:{change.id}")
            )
        if after.unsubscribed_at and not before.unsubscribed_at:
            unsubscribed.append(_unsubscribed(change, after.unsubscribed_at, "unsubscribed"))
        elif after.spam_at and not before.spam_at:
            unsubscribed.append(_unsubscribed(change, after.spam_at, "spam"))
    if bounced:
        emit_many(event=Event.EMAIL_BOUNCED, items=bounced)
    if unsubscribed:
        emit_many(event=Event.EMAIL_UNSUBSCRIBED, items=unsubscribed)


def _unsubscribed(change: Change, at: datetime, reason: str) -> tuple[dict[str, Any], str]:
    data = payload(change.id, change.contact_id, change.mailing_id, at) | {"reason": reason}
    return data, f"{reason}:{change.id}"


def payload(message_id: UUID, contact_id: int | None, mailing_id: int | None, at: datetime | None) -> dict[str, Any]:
    """Return how a fact of a message looks to other programs."""
    return {
        "message": str(message_id),
        "contact": contact_id,
        "mailing": mailing_id,
        "at": at.isoformat() if at else None,
    }
