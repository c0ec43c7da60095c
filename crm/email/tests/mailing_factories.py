"""Mailings and messages as the services and the provider's news would have left them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from crm.email.enums import MailingState, MessageState
from crm.email.models import EmailEvent, EmailMessage, EmailTemplate, Mailing, SendBatch, Suppression
from crm.models import Contact
from thanos.encryption import blind_index

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def make_template(name: str = "News", *, html: str = "<p>Hello {{ contact_name }}</p>", **values: Any) -> EmailTemplate:
    from crm.email.services.templates import save_template

    fields = {"subject": "For {{ contact_name }}", "text": "", "is_active": True, "by": None, **values}
    return save_template(template=None, name=name, html=html, **fields)


def make_mailing(name: str = "Spring fair", *, template: EmailTemplate | None = None, **values: Any) -> Mailing:
    template = template or EmailTemplate.objects.get(key="welcome")
    if values.get("state", MailingState.DRAFT) != MailingState.DRAFT:
        fixed = {"from_email": "hello@alice.test", "from_name": "Alice's", "track_opens": True, "track_clicks": True}
        values = {"started_at": NOON, "prepared_at": NOON, **fixed, **values}
    return Mailing.objects.create(name=name, version=template.current, **values)


def make_message(
    mailing: Mailing | None = None, *, address: str = "", contact: Contact | None = None, **values: Any
) -> EmailMessage:
    address = address or (contact.contact_email if contact else f"{uuid.uuid4().hex[:8]}@example.com")
    fields = {
        "state": MessageState.DELIVERED,
        "version": mailing.version if mailing else None,
        "values": {"contact_name": "Ann Example", "organization_name": "Alice's"} if mailing else None,
        "to_name": contact.name if contact else "Ann Example",
        "from_email": "hello@alice.test",
        "queued_at": NOON,
        **values,
    }
    return EmailMessage.objects.create(
        mailing=mailing, contact=contact, to_email=address, email_index=blind_index(address), **fields
    )


def make_event(message: EmailMessage, kind: str, at: datetime = NOON, **detail: Any) -> EmailEvent:
    is_machine = detail.pop("is_machine", False)
    return EmailEvent.objects.create(
        provider_event_id=uuid.uuid4().hex, message_id=message.pk, kind=kind, at=at, detail=detail, is_machine=is_machine
    )


def make_batch(mailing: Mailing, **values: Any) -> SendBatch:
    return SendBatch.objects.create(mailing=mailing, **{"provider": "sendgrid", "state": "accepted", **values})


def make_suppression(email: str, reason: str = "unsubscribed", **values: Any) -> Suppression:
    return Suppression.objects.create(email=email, email_index=blind_index(email), reason=reason, **values)
