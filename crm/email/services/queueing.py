"""One message is fixed and put in line: to whom, from whom, and what it says."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from crm.email.enums import MessageState, SkipReason
from crm.email.models import EmailMessage, EmailTemplateVersion, Enrolment, Mailing, SequenceStep
from crm.email.models.setup import email_settings
from crm.email.rendering.variables import values_for
from crm.email.services.domains import may_send
from crm.email.services.senders import sender
from crm.email.services.sources import names_needed, needs_footer
from crm.email.services.suppressing import reason_for
from crm.models import Contact
from tenants.celery import publish
from thanos.encryption import blind_index

if TYPE_CHECKING:
    from tenants.models import User


def queue_message(
    *,
    contact: Contact,
    version: EmailTemplateVersion | None = None,
    subject: str = "",
    html: str = "",
    text: str = "",
    mailing: Mailing | None = None,
    enrolment: Enrolment | None = None,
    step: SequenceStep | None = None,
    not_before: datetime | None = None,
    is_bulk: bool = True,
    in_reply_to: str = "",
    by: User | None = None,
    message_id: UUID | None = None,
) -> EmailMessage:
    """Fix a message to a contact and have it sent, or note why it is not (SKIPPED).

    Either a template's version, whose values are taken now, or the finished words. A second call for the same mailing
    and contact, enrolment and step, or `message_id`, returns the first one's message.
    """
    if found := _existing(contact, mailing, enrolment, step, message_id):
        return found
    fixed = _fixed(version, is_bulk) if mailing is None else {}
    footer = mailing.footer_html if mailing is not None else fixed["footer_html"]
    message = EmailMessage(
        id=message_id or uuid4(),
        contact=contact,
        mailing=mailing,
        enrolment=enrolment,
        step=step,
        version=version,
        is_bulk=is_bulk,
        in_reply_to=in_reply_to,
        user=by.pk if by else None,
        not_before=not_before or timezone.now(),
        **address_of(contact),
        **_words(contact, version, footer, subject, html, text),
        **_sender(mailing),
        **fixed,
    )
    reason = reason_for(contact=contact, address=contact.contact_email)
    if reason is not None:
        skip(message, reason)
    try:
        with transaction.atomic():
            message.save(force_insert=True)
    except IntegrityError:
        if found := _existing(contact, mailing, enrolment, step, message_id):
            return found
        raise
    if message.state == MessageState.QUEUED and mailing is None and message.not_before <= timezone.now():
        _publish_later(message)
    return message


def _existing(
    contact: Contact,
    mailing: Mailing | None,
    enrolment: Enrolment | None,
    step: SequenceStep | None,
    message_id: UUID | None,
) -> EmailMessage | None:
    rule = Q(pk__in=[message_id] if message_id else [])
    if mailing is not None:
        rule |= Q(mailing=mailing, contact=contact)
    if enrolment is not None and step is not None:
        rule |= Q(enrolment=enrolment, step=step)
    message: EmailMessage | None = EmailMessage.objects.filter(rule).first()
    return message


def address_of(contact: Contact) -> dict[str, str]:
    """Return the columns that say to whom a message goes."""
    address = contact.contact_email
    return {"to_email": address, "email_index": blind_index(address), "to_name": contact.name}


def skip(message: EmailMessage, reason: SkipReason) -> None:
    message.state, message.skip_reason = MessageState.SKIPPED, reason


def _fixed(version: EmailTemplateVersion | None, is_bulk: bool) -> dict[str, Any]:
    """Return what today's settings say of a message outside of mailings."""
    chosen = email_settings()
    has_footer = is_bulk and version is not None and needs_footer(version)
    return {
        "footer_html": chosen.footer_html if has_footer else "",
        "track_opens": chosen.track_opens,
        "track_clicks": chosen.track_clicks,
    }


def _words(
    contact: Contact, version: EmailTemplateVersion | None, footer: str, subject: str, html: str, text: str
) -> dict[str, Any]:
    if version is None:
        return {"subject": subject, "html": html, "text": text}
    names = names_needed(version=version, footer_html=footer)
    return {"values": values_for(contacts=[contact], names=names)[0]}


def _sender(mailing: Mailing | None) -> dict[str, str]:
    chosen: Any = mailing or sender()
    return {name: getattr(chosen, name) for name in ("from_email", "from_name", "reply_to")}


def renew_senders(message: EmailMessage) -> int:
    """Have what waits outside of mailings come from today's sender, if this message's domain was lost or removed.

    Returns how many messages that concerned.
    """
    if may_send(message.from_email):
        return 0
    waiting = EmailMessage.objects.filter(mailing=None, state=MessageState.QUEUED, from_email=message.from_email)
    changed = int(waiting.update(**_sender(None)))
    message.refresh_from_db(fields=["from_email", "from_name", "reply_to"])
    return changed


def _publish_later(message: EmailMessage) -> None:
    from crm.email.tasks.sending import send_single

    transaction.on_commit(lambda: publish(send_single, message_id=str(message.pk)))
