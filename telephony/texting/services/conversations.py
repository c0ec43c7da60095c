"""Conversations: found by their two numbers, joined to a contact, and kept on the contact's timeline."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from crm.enums import InteractionKind
from crm.models import Contact
from crm.phones import is_e164, spellings
from crm.services.calls import contact_for_caller, contact_of
from crm.services.interactions import add_interaction
from telephony.services.answering import find_line
from telephony.texting.enums import Author, State
from telephony.texting.fates import REACHED
from telephony.texting.models import Conversation, Message
from thanos.encryption import blind_index

logger = logging.getLogger("telephony")

SOURCE = "text message"
LATE = timedelta(seconds=30)
ON_TIMELINE = (*REACHED, State.UNCERTAIN, State.RECEIVED)


def conversation_of(*, own_number: str, other: str) -> Conversation:
    """Return the conversation between two numbers, made now if it is the first time they meet."""
    for _ in range(2):
        for form in spellings(other):
            found: Conversation | None = Conversation.objects.filter(own_number=own_number).with_number(form).first()
            if found is not None:
                return found
        try:
            with transaction.atomic():
                made: Conversation = Conversation.objects.create(
                    own_number=own_number, other=other, other_index=blind_index(other)
                )
                return made
        except IntegrityError:  # another message was quicker
            continue
    raise LookupError("the conversation was neither there nor could it be made")


def known_contact(number: str) -> Contact | None:
    """Return the contact of a number, in whatever spelling it is in the book."""
    return next((contact for form in spellings(number) if (contact := contact_of(form)) is not None), None)


def join_contact(conversation: Conversation, *, create: bool) -> Contact | None:
    """Return the contact of a conversation, found or made now, and keep it there. A known one that is live stays."""
    contact = conversation.contact
    if contact is not None and contact.merged_into_id is not None:
        contact = Contact.objects.filter(pk=contact.merged_into_id).first()
    if contact is None or contact.deleted_at is not None:
        contact = known_contact(conversation.other) if is_e164(conversation.other) else None
        if contact is None and create:
            contact = contact_for_caller(number=conversation.other, create=True, origin=SOURCE)
    if contact is not None and conversation.contact_id != contact.pk:
        Conversation.objects.filter(pk=conversation.pk).update(contact=contact)
        conversation.contact = contact
    return contact


def put_last(message: Message, *, unread: bool | None = None) -> None:
    """Make a message the last of its conversation; `unread` also says whether somebody has to look."""
    values: dict[str, object] = {"last_message": message, "last_at": message.created_at}
    if unread is not None:
        values["is_unread"] = unread
    Conversation.objects.filter(pk=message.conversation_id).update(**values)


def log_text(*, message_id: int) -> None:
    """Put a message on its contact's timeline, where there is a contact. Safe to repeat."""
    with transaction.atomic():
        message = Message.objects.select_related("conversation__contact", "user").get(pk=message_id)
        if message.logged_at is not None or message.state not in ON_TIMELINE:
            return
        line = find_line(message.conversation.own_number)
        makes_leads = message.is_in and line is not None and line.creates_leads and not _is_bare_wish(message)
        may_create = message.call_id is not None or makes_leads
        contact = join_contact(message.conversation, create=may_create)
        if contact is not None:
            add_interaction(
                contact=contact,
                kind=InteractionKind.SMS,
                content="\n".join(filter(None, (message.text, message.pictures))),
                by=message.user if message.author == Author.PERSON else None,
                at=message.created_at,
                metadata=_facts(message),
                natural_key=f"sms:{message.pk}",
            )
        Message.objects.filter(pk=message.pk).update(logged_at=timezone.now())


def _is_bare_wish(message: Message) -> bool:
    """A STOP of a stranger is a wish to be left alone: nobody becomes a lead by it."""
    from telephony.texting.models import ConsentEvent

    return ConsentEvent.objects.filter(message=message).exists()


def _facts(message: Message) -> dict[str, object]:
    facts: dict[str, object] = {
        "text_id": message.pk,
        "way": message.way,
        "author": message.author,
        "thread": message.conversation.get_absolute_url(),
    }
    if message.call_id:
        facts["from_call"] = str(message.call_id)
    return facts


def try_to_log(message_id: int) -> None:
    """The message itself is safe: whatever is wrong with the timeline, a sweep comes back to it."""
    try:
        log_text(message_id=message_id)
    except Exception:
        logger.exception("A text message is not on the timeline yet.", extra={"text": message_id})


def unlogged_texts(*, now: datetime | None = None) -> list[int]:
    now = now or timezone.now()
    late = Message.objects.filter(logged_at=None, state__in=ON_TIMELINE)
    window = late.filter(changed_at__lt=now - LATE, changed_at__gt=now - timedelta(days=2))
    return list(window.order_by("id").values_list("pk", flat=True)[:500])


def mark_read(*, conversation: Conversation, is_read: bool = True) -> None:
    Conversation.objects.filter(pk=conversation.pk, is_unread=is_read).update(is_unread=not is_read)
