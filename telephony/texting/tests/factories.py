"""Texts as they come in and go out, and the carrier's posts as a client sends them."""

from __future__ import annotations

import itertools
from typing import Any
from urllib.parse import urlsplit

from django.test import Client
from django.utils import timezone

from sandbox.twilio.signing import sign
from telephony.texting.enums import Author, State, Way
from telephony.texting.models import Conversation, Message
from telephony.texting.services.conversations import conversation_of, put_last
from telephony.texting.services.sending import deliver, write_text

BASE = "https://calls.example/api/webhooks/"
TOKEN = "test-token"
OURS, THEIRS = "+15550100", "+15557001"  # Alice's number, and somebody else's
BOBS = "+15550200"
_sids = itertools.count(1)


def sid() -> str:
    return f"SM{next(_sids):032x}"


def incoming(text: str = "Hello", **changes: str) -> dict[str, str]:
    values = {"MessageSid": sid(), "AccountSid": "AC" + "0" * 32, "From": THEIRS, "To": OURS, "Body": text}
    return {**values, "NumMedia": "0", "NumSegments": "1", **changes}


def post_to(url: str, form: dict[str, str], *, headers: dict[str, str] | None = None) -> Any:
    """Post as the carrier does: signed over the very address it was told."""
    parts = urlsplit(url)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    signed = sign(TOKEN, url, form) if headers is None else headers
    return Client(headers={"host": "10.0.0.7:8000", **signed}).post(path, form)


def receive(text: str = "Hello", **changes: str) -> Any:
    return post_to(BASE + "incoming-sms", incoming(text, **changes))


def status(message: Message | str, word: str, code: str = "", **changes: str) -> Any:
    name = message if isinstance(message, str) else message.message_sid
    form = {"MessageSid": name, "SmsSid": name, "MessageStatus": word, "From": OURS, "To": THEIRS}
    return post_to(BASE + "sms-status", {**form, **({"ErrorCode": code} if code else {}), **changes})


def send(text: str = "Good morning.", *, to: str = THEIRS, author: Author = Author.PERSON, **values: Any) -> Message:
    message, _ = write_text(own_number=OURS, to=to, text=text, author=author, **values)
    return deliver(message_id=message.pk)


def make_conversation(other: str = THEIRS, *, own_number: str = OURS, **values: Any) -> Conversation:
    conversation = conversation_of(own_number=own_number, other=other)
    for name, value in values.items():
        setattr(conversation, name, value)
    conversation.save()
    return conversation


def make_message(conversation: Conversation, text: str = "Hello", *, way: str = Way.IN, **values: Any) -> Message:
    author = Author.CONTACT if way == Way.IN else Author.PERSON
    state = State.RECEIVED if way == Way.IN else State.SENT
    values = {"author": author, "state": state, "message_sid": sid(), "logged_at": timezone.now(), **values}
    message: Message = Message.objects.create(conversation=conversation, way=way, text=text, **values)
    put_last(message)
    return message
