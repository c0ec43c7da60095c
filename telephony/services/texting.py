"""A text message to the caller of a call, once."""

from __future__ import annotations

import hashlib
from decimal import Decimal

from django.utils import timezone

from billing.enums import Kind, Leg, Source, Unit
from billing.services.ledger import record_usage
from billing.usage import Usage
from crm.enums import InteractionKind
from crm.services.calls import contact_for_caller
from crm.services.interactions import add_interaction
from telephony.costing import CARRIER
from telephony.enums import Direction, EventKind, TextState
from telephony.models import Call, TextMessage
from telephony.services.carrier import carrier
from telephony.services.entries import note
from telephony.twilio.client import SentText
from telephony.twilio.errors import TelephonyError
from telephony.twilio.segments import segments_of
from tenants.context import current_tenant


class TextingError(ValueError):
    """The message was not sent; the text is for the agent to tell."""


def text_caller(*, call_id: str, from_number: str, to_number: str, text: str) -> bool:
    """Send a text message to the caller and put it on their timeline; return False when this very one was sent before.

    Must run inside the tenant. Raises TextingError.
    """
    if not (to_number.startswith("+") and from_number.startswith("+")):
        raise TextingError("The caller's number is withheld, so nothing can be sent to it.")
    call = Call.objects.filter(pk=call_id).exclude(direction=Direction.BROWSER).first()
    if call is None:
        raise TextingError("In a test call nothing is sent.")
    key = hashlib.sha256(text.strip().casefold().encode()).hexdigest()[:16]
    message, is_new = TextMessage.objects.get_or_create(call=call, key=key, defaults={"text": text})
    refused = TextMessage.objects.filter(pk=message.pk, state=TextState.REFUSED)
    if not is_new and not refused.update(state=TextState.SENDING):
        return False
    _send(message, from_number, to_number)
    note(call, EventKind.TEXT_SENT, {"to": to_number, "text": text})
    contact = contact_for_caller(number=to_number, create=True)
    if contact is not None:
        add_interaction(
            contact=contact,
            kind=InteractionKind.SMS,
            content=text,
            metadata={"from_call": call_id},
            natural_key=f"text:{message.pk}",
        )
    return True


def _send(message: TextMessage, from_number: str, to_number: str) -> None:
    """Raises TextingError. A carrier that said no can be asked again; one that said nothing may have sent it."""
    same = TextMessage.objects.filter(pk=message.pk)
    try:
        sent = carrier().send_sms(from_number=from_number, to_number=to_number, text=message.text)
    except TelephonyError as error:
        same.update(state=TextState.UNCERTAIN if error.status is None and error.retryable else TextState.REFUSED)
        raise TextingError("The message could not be sent. Offer to read it out instead.") from error
    same.update(state=TextState.SENT, message_sid=sent.sid)
    _meter(message, sent)


def _meter(message: TextMessage, sent: SentText) -> None:
    call = message.call
    usage = Usage(
        key=f"text:{message.pk}",
        provider=CARRIER,
        item="sms-outbound",
        unit=Unit.SEGMENT,
        quantity=Decimal(sent.segments or segments_of(message.text)),
        leg=Leg.MESSAGING,
        source=Source.CARRIER if sent.segments else Source.COUNTED,
        at=timezone.now(),
        kind=Kind.CALL,
        subject=str(call.pk),
        line_id=call.line_id,
        agent_id=call.agent_id,
        contact_id=call.contact_id,
    )
    record_usage(tenant=current_tenant(), usages=[usage])
