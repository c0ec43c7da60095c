"""Messages that were handed over, and what a provider says of them."""

from __future__ import annotations

import base64
import json
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from crm.email.enums import BatchState, MessageState
from crm.email.models import EmailMessage, SendBatch
from crm.models import Contact
from crm.tests.factories import make_contact
from thanos.encryption import blind_index

URL = "/api/webhooks/sendgrid"
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SENT = NOW - timedelta(minutes=5)


class Key:
    """One of the provider's, of which we know the public half."""

    def __init__(self) -> None:
        self._private = ec.generate_private_key(ec.SECP256R1())
        public = self._private.public_key()
        der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.public = base64.b64encode(der).decode()

    def headers(self, body: bytes, timestamp: str | None = None) -> dict[str, str]:
        timestamp = str(int(time.time())) if timestamp is None else timestamp
        signature = self._private.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        return {
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
        }


def make_batch(**values: Any) -> SendBatch:
    return SendBatch.objects.create(
        **{"provider": "sendgrid", "state": BatchState.ACCEPTED, "size": 1, "provider_id": "abc123", **values}
    )


def make_message(contact: Contact | None = None, **values: Any) -> EmailMessage:
    """A message that the provider has."""
    contact = contact or make_contact(contact_email=values.get("to_email", "ann@example.com"))
    address = values.pop("to_email", contact.contact_email)
    defaults: dict[str, Any] = {
        "contact": contact,
        "to_email": address,
        "email_index": blind_index(address),
        "subject": "Your appointment",
        "text": "See you on Thursday.",
        "state": MessageState.SENT,
        "sent_at": SENT,
    }
    return EmailMessage.objects.create(**{**defaults, **values})


def event(message: EmailMessage | None, schema: str | None, name: str, **values: Any) -> dict[str, Any]:
    """An event as it is posted, `at` being a datetime."""
    at = values.pop("at", NOW)
    found = {
        "email": message.to_email if message else "nobody@example.com",
        "timestamp": int(at.timestamp()),
        "event": name,
        "smtp-id": "<14c5d75ce93.dfd.64b469@ismtpd-555>",
        "sg_event_id": uuid.uuid4().hex,
        "sg_message_id": "abc123.recvd-5f-1.0",
    }
    if schema is not None:
        found["thanos_tenant"] = schema
    if message is not None:
        found["thanos_message"] = str(message.pk)
    return {**found, **values}


def body_of(*events: Any) -> bytes:
    """As the provider writes it: with a line break at the end that is signed as well."""
    return json.dumps(list(events)).encode() + b"\r\n"
