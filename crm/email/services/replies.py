"""Answers to what was sent, on the timelines of those they are from. Nothing here ever answers.

the address it came to holds a token ─▶ the message, its organisation, its contact
it came to an organisation's own domain, which it has shown to be its own ─▶ a contact with the sender's address, if the
    sender's domain vouches for it
neither ─▶ ignored: the provider is thanked, and nothing of it is kept
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from uuid import UUID

from django.core.files.storage import default_storage
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from crm.email.enums import DomainState, EnrolmentState
from crm.email.inbound import MAX_TEXT, Form, Inbound, parts_of, read_inbound
from crm.email.models import EmailDomain, EmailMessage, InboundEmail
from crm.email.services.consequences import payload
from crm.email.services.links import read_reply_address
from crm.email.services.sequences import stop_for_contact
from crm.email.services.timeline import as_text, bring_up_to_date
from crm.enums import InteractionKind
from crm.hooks.enums import Event
from crm.hooks.services.emitting import emit
from crm.models import Attachment, Contact, Interaction
from crm.services.attachments import AttachmentError, add_attachment
from crm.services.interactions import add_interaction
from tenants.context import NoTenantError, entered, find_tenant, in_public
from tenants.models import SendingDomain, Tenant
from thanos.encryption import blind_index, blind_indexes

logger = logging.getLogger("crm.email")

# What became of it, for the log.
TAKEN, KNOWN, NOBODYS = "taken", "known already", "nobody's"
# Whoever has only entered a domain has not shown that it is theirs.
_SHOWN = (DomainState.VERIFIED, DomainState.LOST)


@dataclass(frozen=True, slots=True)
class _Route:
    tenant: Tenant
    message_id: UUID | None  # None: found by the domain it came to


def take_reply(form: Form, *, now: datetime | None = None) -> str:
    """Put an incoming e-mail on the timeline it belongs to; return what became of it. Run outside of any tenant.

    The same e-mail a second time changes nothing. Raises what the database or the disk raise.
    """
    mail = read_inbound(form)
    route = _route(mail)
    if route is None:
        return NOBODYS
    with entered(route.tenant):
        return _take(mail, route, now or timezone.now())


def _route(mail: Inbound) -> _Route | None:
    for address in mail.recipients:
        named = read_reply_address(address)
        if named is not None:
            with suppress(NoTenantError):  # it is gone: another recipient may be somebody
                return _Route(find_tenant(named[0]), named[1])
    return _route_by_domain(mail.recipients)


def _route_by_domain(recipients: list[str]) -> _Route | None:
    """Of several organisations, one may have a domain below another one's: the closest is whose mail it is."""
    domains = {domain for address in recipients for domain in _and_above(address.rpartition("@")[2])}
    with in_public():
        entries = SendingDomain.objects.filter(domain__in=domains).exclude(tenant=None).select_related("tenant")
        found = sorted(entries, key=lambda entry: (-entry.domain.count("."), entry.domain))
    for entry in found:
        assert entry.tenant is not None
        with entered(entry.tenant):
            if EmailDomain.objects.filter(domain=entry.domain, state__in=_SHOWN).exists():
                return _Route(entry.tenant, None)
    return None


def _and_above(domain: str) -> list[str]:
    labels = domain.split(".")
    return [".".join(labels[begin:]) for begin in range(max(0, len(labels) - 1))][:10]


def _take(mail: Inbound, route: _Route, now: datetime) -> str:
    message = EmailMessage.objects.filter(pk=route.message_id).first() if route.message_id else None
    contact = _contact_of(message) if message else _contact_from(mail)
    if message is None and contact is None:
        return NOBODYS
    if InboundEmail.objects.filter(provider_id=mail.digest).exists():
        return KNOWN
    files: list[str] = []
    try:
        with transaction.atomic():
            return _store(mail, message, contact, files, now)
    except Exception:
        for path in files:  # the rows that named them were rolled back
            default_storage.delete(path)
        raise


def _contact_of(message: EmailMessage) -> Contact | None:
    contact = message.contact
    while contact is not None and contact.merged_into_id is not None:
        contact = contact.merged_into
    return contact


def _contact_from(mail: Inbound) -> Contact | None:
    """Return the contact with the sender's address, if it is the sender's indeed."""
    if not mail.is_authenticated or not mail.from_email:
        return None
    found = Contact.objects.live().with_email(mail.from_email)
    contact: Contact | None = found.order_by(F("last_interaction_at").desc(nulls_last=True), "id").first()
    return contact


def _store(mail: Inbound, message: EmailMessage | None, contact: Contact | None, files: list[str], now: datetime) -> str:
    whole = mail.text.strip() or as_text(mail.html)[:MAX_TEXT].strip()
    row = InboundEmail(
        provider_id=mail.digest,
        header_id=mail.header_id,
        message=message,
        contact=contact,
        from_email=mail.from_email,
        from_index=blind_index(mail.from_email),
        subject=mail.subject,
        text=parts_of(whole)[0],
        is_authenticated=mail.is_authenticated,
        is_automatic=mail.is_automatic,
        received_at=now,
    )
    InboundEmail.objects.bulk_create([row], ignore_conflicts=True)  # of two at once, the second waits here
    mine = InboundEmail.objects.filter(provider_id=mail.digest, interaction=None, received_at=now)
    if not mine.exists():
        return KNOWN
    entry = _log(mail, message, contact, whole, files, now) if contact is not None else None
    mine.update(interaction=entry)
    if not mail.is_automatic:
        if contact is not None:
            stop_for_contact(contact_id=contact.pk, reason=EnrolmentState.REPLIED, now=now)
        if message is not None:
            _note_reply(message, entry, now)
    return TAKEN


def _log(
    mail: Inbound, message: EmailMessage | None, contact: Contact, whole: str, files: list[str], now: datetime
) -> Interaction:
    metadata = {
        "direction": "in",
        "in_reply_to": str(message.pk) if message else None,
        "automatic": mail.is_automatic,
        "authenticated": mail.is_authenticated,
        # Who forwards a message, or answers from another address, is somebody else than it was sent to.
        "other_sender": bool(message) and message.email_index not in blind_indexes(mail.from_email),  # type: ignore[union-attr]
    }
    entry = add_interaction(
        contact=contact,
        kind=InteractionKind.EMAIL,
        subject=mail.subject,
        content=whole,
        at=now,
        metadata={name: value for name, value in metadata.items() if value not in (None, False) or name == "authenticated"},
        natural_key=f"email-in:{mail.digest}",
    )
    refused = sum(not _attach(entry, mail, index, files) for index in range(len(mail.files)))
    if refused:
        entry.metadata["files_refused"] = refused
        Interaction.objects.filter(pk=entry.pk).update(metadata=entry.metadata)
    return entry


def _attach(entry: Interaction, mail: Inbound, index: int, files: list[str]) -> bool:
    file = mail.files[index]
    upload = UploadedFile(BytesIO(file.data), file.name or "file", file.content_type, len(file.data))
    try:
        with transaction.atomic():
            attachment: Attachment = add_attachment(interaction=entry, upload=upload, by=None)
    except AttachmentError:
        return False
    files.append(attachment.path)
    return True


def _note_reply(message: EmailMessage, entry: Interaction | None, now: datetime) -> None:
    is_first = EmailMessage.objects.filter(pk=message.pk, replied_at=None).update(replied_at=now)
    if is_first:
        bring_up_to_date(message_ids=[message.pk])
    contact_id = entry.contact_id if entry else message.contact_id
    data = payload(message.pk, contact_id, message.mailing_id, now) | {"interaction": entry.pk if entry else None}
    emit(event=Event.EMAIL_REPLIED, data=data, key=f"replied:{entry.pk}" if entry else f"replied:{message.pk}")
