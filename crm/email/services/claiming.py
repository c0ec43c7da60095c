"""Taking messages out of the line: each by one worker only, written down before anything is asked of the provider."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from crm.email.enums import BatchState, MailingState, MessageState, SkipReason
from crm.email.models import EmailMessage, Mailing, SendBatch
from crm.email.services.leaving import left_among, resting_among
from crm.email.services.sequences import HELD
from crm.email.services.suppressing import skip_reasons

MAX_SIZE = 1_000
# What all messages of a claim have in common, so that they can be one request.
_COMMON = ("version_id", "from_email", "from_name", "reply_to", "is_bulk", "footer_html", "track_opens", "track_clicks")


@dataclass(slots=True)
class Claim:
    batch: SendBatch
    mailing: Mailing | None
    messages: list[EmailMessage]


def due_of(mailing: Mailing, *, now: datetime) -> Any:
    """Return the mailing's messages that may go now."""
    return EmailMessage.objects.filter(mailing=mailing, state=MessageState.QUEUED, not_before__lte=now)


def due_singles(*, now: datetime) -> Any:
    """Return messages outside of mailings that may go now."""
    return EmailMessage.objects.filter(mailing=None, state=MessageState.QUEUED, not_before__lte=now)


def like(message: EmailMessage, *, now: datetime) -> Any:
    """Return the message that may go now, and those that can go in the same request."""
    due = due_singles(now=now)
    if message.version_id is None:
        return due.filter(pk=message.pk)
    return due.filter(**{name: getattr(message, name) for name in _COMMON})


def claim_mailing(*, mailing: Mailing, provider: str, size: int = MAX_SIZE, now: datetime | None = None) -> Claim | None:
    """Take up to `size` due messages of a running mailing; None when there are none, or it does not run."""
    now = now or timezone.now()
    with transaction.atomic():
        # Also waits for whoever pauses or cancels it at this moment, and they for us.
        if not Mailing.objects.filter(pk=mailing.pk, state=MailingState.SENDING).update(touched_at=now):
            return None
        return _claim(due_of(mailing, now=now), mailing, provider, size, now)


def claim_singles(
    *, like_message: EmailMessage, provider: str, size: int = MAX_SIZE, now: datetime | None = None
) -> Claim | None:
    """Take a message outside of mailings, and others of the same text and sender; None when it is gone."""
    now = now or timezone.now()
    with transaction.atomic():
        return _claim(like(like_message, now=now), None, provider, size, now)


def _claim(due: Any, mailing: Mailing | None, provider: str, size: int, now: datetime) -> Claim | None:
    rows = due.select_for_update(skip_locked=True, of=("self",)).order_by("not_before", "id")
    ids = list(rows.values_list("pk", flat=True)[:size])
    if not ids:
        return None
    batch = SendBatch.objects.create(mailing=mailing, provider=provider, size=len(ids), created_at=now)
    EmailMessage.objects.filter(pk__in=ids, state=MessageState.QUEUED).update(state=MessageState.CLAIMED, batch=batch)
    messages = list(EmailMessage.objects.filter(batch=batch).select_related("version").order_by("not_before", "id"))
    return Claim(batch, mailing, messages)


def drop_unwanted(claim: Claim) -> None:
    """Take out of a claim who may not be written to any more, at this moment: the line may have been long."""
    _drop_of_sequences(claim)
    contacts = _contacts(claim.messages)
    pairs = [(contacts.get(message.contact_id or 0), message.to_email) for message in claim.messages]
    kept: list[EmailMessage] = []
    dropped: dict[SkipReason, list[UUID]] = {}
    for message, (contact, _), reason in zip(claim.messages, pairs, skip_reasons(pairs), strict=True):
        reason = SkipReason.GONE if contact is None else reason
        if reason is None:
            kept.append(message)
        else:
            dropped.setdefault(reason, []).append(message.pk)
    claim.messages = kept
    for reason, ids in dropped.items():
        end_messages(claim.batch, ids, state=MessageState.SKIPPED, skip_reason=reason)


def _drop_of_sequences(claim: Claim) -> None:
    """Whoever has left a sequence gets nothing more of it, and one that rests sends nothing, whatever came between."""
    ids = [message.pk for message in claim.messages if message.enrolment_id]
    if not ids:
        return
    ended, resting = left_among(ids), resting_among(ids)
    end_messages(claim.batch, list(ended), state=MessageState.CANCELED)
    end_messages(claim.batch, list(resting - ended), state=MessageState.QUEUED, not_before=HELD)
    claim.messages = [message for message in claim.messages if message.pk not in ended | resting]


def _contacts(messages: Sequence[EmailMessage]) -> dict[int, Any]:
    """Return who the messages are for, by the id they name: of a merged contact, the one it is now."""
    from crm.models import Contact

    named = {message.contact_id for message in messages if message.contact_id}
    found: dict[int, Any] = {}
    wanted = named
    while wanted:
        rows = Contact.objects.filter(pk__in=wanted).only("id", "deleted_at", "merged_into_id", "do_not_mail_at")
        found |= {contact.pk: contact for contact in rows}
        wanted = {contact.merged_into_id for contact in rows if contact.merged_into_id} - set(found)
    return {pk: _now(pk, found) for pk in named & set(found)}


def _now(pk: int, found: dict[int, Any]) -> Any:
    contact = found[pk]
    while contact is not None and contact.merged_into_id:
        contact = found.get(contact.merged_into_id)
    return contact


def end_messages(batch: SendBatch, ids: Sequence[UUID], **values: Any) -> int:
    """Give claimed messages of a batch their last state; they are no part of the request any more."""
    ours = EmailMessage.objects.filter(pk__in=ids, batch=batch, state=MessageState.CLAIMED)
    return int(ours.update(batch=None, **values))


def begin_request(*, claim: Claim, messages: Sequence[EmailMessage], now: datetime | None = None) -> SendBatch | None:
    """Write down that the provider is about to be asked for these messages. Committed on return.

    None when the claim has run out meanwhile, its mailing was paused or cancelled, or news has come of one of the
    messages, which had been sent before and was given up too early: then nothing may be asked. What is less than the
    whole claim gets a batch of its own.
    """
    now = now or timezone.now()
    with transaction.atomic():
        held = SendBatch.objects.select_for_update().filter(pk=claim.batch.pk, state=BatchState.CLAIMED).first()
        if held is None or not _may_run(claim.mailing):
            return None
        ours = EmailMessage.objects.filter(pk__in=[one.pk for one in messages], batch=held, state=MessageState.CLAIMED)
        if len(ours.select_for_update(no_key=True).order_by("pk").values_list("pk")) < len(messages):
            return None
        if len(messages) < EmailMessage.objects.filter(batch=held).count():
            held = _part(held, messages, now)
        SendBatch.objects.filter(pk=held.pk).update(state=BatchState.ASKED, asked_at=now, size=len(messages))
    return held


def _may_run(mailing: Mailing | None) -> bool:
    if mailing is None:
        return True
    # A share of the row, so that a pause that has been answered "paused" is not followed by another request.
    running = Mailing.objects.select_for_update(no_key=True).filter(pk=mailing.pk, state=MailingState.SENDING)
    return bool(running.values_list("pk", flat=True))


def _part(whole: SendBatch, messages: Sequence[EmailMessage], now: datetime) -> SendBatch:
    part = SendBatch.objects.create(mailing_id=whole.mailing_id, provider=whole.provider, created_at=now)
    EmailMessage.objects.filter(pk__in=[message.pk for message in messages], batch=whole).update(batch=part)
    return part
