"""A transfer that is announced: the person who is rung hears what it is about, and takes the call or not."""

from __future__ import annotations

from django.utils import timezone

from crm.phones import is_e164
from telephony.enums import EventKind
from telephony.models import Call
from telephony.services.answering import line_speech
from telephony.services.entries import note
from telephony.services.urls import webhook_url
from telephony.twilio import twiml
from tenants.models import Tenant

KEY_TIMEOUT_S = 10


def brief_person(*, call: Call, tenant: Tenant) -> str:
    """Return the TwiML for the person who picked up. Must run inside the tenant."""
    line = call.line
    if line is None or not call.is_open:
        return twiml.say_and_hang_up()
    told = {"caller": _caller(call), "reason": call.briefing, "key": line.briefing_key}
    return twiml.ask_for_key(
        line_speech(line, tenant, line.briefing_text, **told),
        action_url=webhook_url("call-briefing", call=call.call_sid, asked="1"),
        timeout_s=KEY_TIMEOUT_S,
    )


def take_key(*, call: Call, digits: str) -> str:
    """Connect the person who pressed the key; anybody else's call ends, and the caller goes back to the agent."""
    line = call.line
    if line is None or digits != line.briefing_key:
        return twiml.say_and_hang_up()
    taken = Call.objects.open().filter(pk=call.pk, transfer_taken_at=None).update(transfer_taken_at=timezone.now())
    if taken:
        note(call, EventKind.TRANSFER, {"taken": True})
    return twiml.empty()  # the carrier goes on with connecting them


def _caller(call: Call) -> str:
    if call.contact is not None and call.contact.name:
        return str(call.contact.name)
    # Digit by digit, as one reads a number to somebody.
    return " ".join(call.from_number.removeprefix("+")) if is_e164(call.from_number) else ""
