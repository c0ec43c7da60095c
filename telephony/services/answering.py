"""A call comes in: who is it for, may it be taken, and what is the carrier to do?

The caller is waiting: at most three queries, and every refusal is a sentence and an ended reason, never an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import DatabaseError
from django.db.models import Q
from django.utils import timezone

from agents.models import AgentVersion
from agents.selectors import version_for
from base.text import to_valid
from telephony.engines.registry import choose_engine, is_configured
from telephony.enums import CallStatus, Direction, EndedReason, EventKind, NextStep, OverBudget
from telephony.hours import is_open
from telephony.models import Call, Line
from telephony.models.calls import ATTESTATION_LENGTH
from telephony.services.entries import note
from telephony.services.routing import remember_route
from telephony.services.seats import Seat, free_seat, take_seat
from telephony.services.sentences import fill, values_of
from telephony.services.spending import JOINED, access_for, calls_at_once, reserve_for
from telephony.services.tokens import PARAMETER, issue_token
from telephony.services.urls import stream_url, webhook_url
from telephony.twilio import twiml
from telephony.twilio.callers import called_number, caller_in, name_of, raw_caller
from telephony.twilio.twiml import Speech
from tenants.context import entered, in_public
from tenants.enums import Spoken
from tenants.models import PhoneNumber, SpokenText, Tenant
from thanos.encryption import blind_index


@dataclass(frozen=True, slots=True)
class IncomingCall:
    call_sid: str
    account_sid: str
    from_number: str
    to_number: str
    from_raw: str = ""  # as the carrier wrote it, where that says more
    attestation: str = ""  # what the carrier says of the caller's number

    @classmethod
    def from_form(cls, form: Mapping[str, str]) -> IncomingCall:
        """Raises KeyError for a form without the fields every call has."""
        from_number, raw = name_of(caller_in(form)), raw_caller(form)
        return cls(
            call_sid=form["CallSid"],
            account_sid=form.get("AccountSid", ""),
            from_number=from_number,
            to_number=called_number(form["To"]),
            from_raw=raw if raw != from_number else "",
            attestation=to_valid(form.get("StirVerstat", ""))[:ATTESTATION_LENGTH],
        )


def find_number(number: str) -> PhoneNumber | None:
    with in_public():
        return PhoneNumber.objects.select_related("tenant", *JOINED).filter(number=number).first()


def platform_speech(key: Spoken) -> Speech | None:
    with in_public():
        text = SpokenText.objects.filter(key=key).first()
    return Speech(text.text, text.voice, text.language) if text else None


def line_speech(line: Line, tenant: Tenant, text: str, **more: str) -> Speech:
    """Return a line's sentence with the names filled in: the line's own, and `more`."""
    return Speech(fill(text, {**values_of(line, tenant), **more}), line.carrier_voice, line.language)


def answer_call(*, incoming: IncomingCall, now: datetime | None = None) -> str:
    """Return the TwiML for a ringing call. Safe to repeat for the same call SID."""
    number = find_number(incoming.to_number)
    if number is None or not number.is_active:
        return twiml.say_and_hang_up(platform_speech(Spoken.UNKNOWN_NUMBER))
    tenant = number.tenant
    with entered(tenant):
        line = find_line(incoming.to_number)
        if line is None:
            return twiml.say_and_hang_up(platform_speech(Spoken.FAILURE))
        if not tenant.is_active:
            _note_refusal(new_call(incoming, line), EndedReason.TENANT_INACTIVE)
            return twiml.say_and_hang_up(platform_speech(Spoken.INACTIVE_TENANT))
        return _answer_on(line, tenant, incoming, now or timezone.now())


def find_line(number: str) -> Line | None:
    """Return the number's own line, else the default one."""
    lines = Line.objects.select_related("agent").filter(Q(phone_number=number) | Q(is_default=True))
    return lines.order_by("is_default").first()


def _answer_on(line: Line, tenant: Tenant, incoming: IncomingCall, now: datetime) -> str:
    call = new_call(incoming, line)
    if not line.is_active:
        return _refuse(call, line, tenant, EndedReason.LINE_INACTIVE, line.unavailable_text)
    if not is_open(line.hours, line.time_zone, now):
        return _refuse(call, line, tenant, EndedReason.OUTSIDE_HOURS, line.closed_text)
    if not access_for(tenant, now).is_open:
        _note_refusal(call, EndedReason.NOT_SUBSCRIBED)
        return twiml.say_and_hang_up(platform_speech(Spoken.INACTIVE_TENANT))
    seat = take_seat(schema=tenant.schema_name, call_sid=call.call_sid, tenant_limit=calls_at_once(tenant))
    if seat is Seat.TENANT_FULL:
        return _refuse(call, line, tenant, EndedReason.TENANT_BUSY, line.busy_text)
    if seat is Seat.INSTALLATION_FULL:
        return _refuse(call, line, tenant, EndedReason.INSTALLATION_BUSY, line.busy_text)
    if not is_configured(call.engine):
        return _without_agent(call, tenant)
    if not reserve_for(call=call, tenant=tenant, now=now).admitted:
        free_seat(schema=tenant.schema_name, call_sid=call.call_sid)
        return _over_budget(call, line, tenant)
    token = issue_token(call, tenant.schema_name)
    try:
        is_new = Call.objects.insert_new(call)
    except DatabaseError:
        free_seat(schema=tenant.schema_name, call_sid=call.call_sid)
        raise
    if not is_new:
        return _answer_again(incoming.call_sid, tenant)
    remember_route(call_sid=call.call_sid, schema=tenant.schema_name)
    note(call, EventKind.ADMITTED, {"line": line.name})
    return stream_twiml(call, token)


def new_call(incoming: IncomingCall, line: Line) -> Call:
    version = version_of(line, incoming.call_sid)
    return Call(
        agent_id=version.agent_id if version else None,
        agent_version=version,
        call_sid=incoming.call_sid,
        account_sid=incoming.account_sid,
        direction=Direction.INBOUND,
        line=line,
        engine=choose_engine(line.engine, incoming.call_sid),
        from_number=incoming.from_number,
        from_index=blind_index(incoming.from_number),
        from_raw=incoming.from_raw,
        attestation=incoming.attestation,
        to_number=incoming.to_number,
        to_index=blind_index(incoming.to_number),
    )


def version_of(line: Line, call_sid: str) -> AgentVersion | None:
    """Return the version of the line's agent that answers a call; the same for the same call."""
    return version_for(line.agent, call_sid) if line.agent is not None and line.agent.is_active else None


def stream_twiml(call: Call, token: str, before: Speech | None = None) -> str:
    return twiml.connect_stream(
        stream_url=stream_url(),
        parameters={PARAMETER: token},
        continue_url=webhook_url("call-continue"),
        before=before,
    )


def _refuse(call: Call, line: Line, tenant: Tenant, reason: EndedReason, text: str) -> str:
    _note_refusal(call, reason)
    return twiml.say_and_hang_up(line_speech(line, tenant, text))


def _note_refusal(call: Call, reason: EndedReason) -> None:
    call.status = CallStatus.COMPLETED
    call.ended_reason = reason
    call.ended_at = call.started_at
    if Call.objects.insert_new(call):
        note(call, EventKind.REFUSED, {"reason": str(reason)})


def _over_budget(call: Call, line: Line, tenant: Tenant) -> str:
    """Nothing may be spent any more: a sentence, or on to a person or to voicemail."""
    if Call.objects.filter(call_sid=call.call_sid).exists():  # admitted before the budget was used up
        return _answer_again(call.call_sid, tenant)
    if line.over_budget_action == OverBudget.MESSAGE:
        return _refuse(call, line, tenant, EndedReason.BUDGET_REACHED, line.over_budget_text)
    return _fall_back(call, tenant, EndedReason.BUDGET_REACHED)


def _without_agent(call: Call, tenant: Tenant) -> str:
    """No voice provider is configured: on to a person or to voicemail, by way of the usual question."""
    return _fall_back(call, tenant, EndedReason.PROVIDER_MISSING)


def _fall_back(call: Call, tenant: Tenant, reason: EndedReason) -> str:
    call.next_step = NextStep.FALL_BACK
    call.closing_reason = reason
    if Call.objects.insert_new(call):
        remember_route(call_sid=call.call_sid, schema=tenant.schema_name)
        note(call, EventKind.ERROR, {"code": reason.name})
    return twiml.wait_and_ask_again(url=webhook_url("call-continue"), seconds=0)


def _answer_again(call_sid: str, tenant: Tenant) -> str:
    """The request came before: repeated, replayed, or later than the news of the call's end.

    A call whose stream has not begun gets a new token, which voids the first one."""
    call = Call.objects.get(call_sid=call_sid)
    if not call.is_open:
        free_seat(schema=tenant.schema_name, call_sid=call.call_sid)
        return twiml.say_and_hang_up()
    if call.next_step:
        return twiml.wait_and_ask_again(url=webhook_url("call-continue"), seconds=0)
    if call.stream_count:
        # A stream runs or ran: what happens next is for call-continue to say, not for a replayed first request.
        return twiml.say_and_hang_up()
    token = issue_token(call, tenant.schema_name)
    saved = Call.objects.filter(pk=call.pk, stream_count=0).update(
        token_hash=call.token_hash, token_expires_at=call.token_expires_at
    )
    return stream_twiml(call, token) if saved else twiml.say_and_hang_up()
