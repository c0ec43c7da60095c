"""A text message to the caller of a call, once."""

from __future__ import annotations

import hashlib

from crm.phones import is_e164
from telephony.enums import Direction, EventKind
from telephony.models import Call
from telephony.services.entries import note
from telephony.texting.enums import Author, State
from telephony.texting.services.sending import deliver, write_text

GONE_OUT = (State.SENDING, State.UNCERTAIN, State.QUEUED, State.SENT, State.UNDELIVERED, State.DELIVERED)


class TextingError(ValueError):
    """The message was not sent; the text is for the agent to tell."""


def text_caller(*, call_id: str, from_number: str, to_number: str, text: str) -> bool:
    """Send a text message to the caller and put it on their timeline; return False when this very one was sent before.

    Must run inside the tenant. Raises TextingError, with what forbids it or that the carrier did not take it.
    """
    if not (is_e164(to_number) and is_e164(from_number)):
        raise TextingError("The caller's number is withheld, so nothing can be sent to it.")
    call = Call.objects.filter(pk=call_id).exclude(direction=Direction.BROWSER).first()
    if call is None:
        raise TextingError("In a test call nothing is sent.")
    key = f"call:{call.pk}:{hashlib.sha256(text.strip().casefold().encode()).hexdigest()[:16]}"
    message, is_new = write_text(own_number=from_number, to=to_number, text=text, author=Author.AGENT, call=call, key=key)
    if not is_new and message.state in GONE_OUT:
        return False
    message = deliver(message_id=message.pk, again=True)
    if message.state == State.BLOCKED:
        raise TextingError(f"The message was not sent: {message.why}")
    if message.state in (State.FAILED, State.UNCERTAIN):
        raise TextingError("The message could not be sent. Offer to read it out instead.")
    note(call, EventKind.TEXT_SENT, {"to": to_number, "text": text})
    return True
