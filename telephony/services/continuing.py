"""The media stream has ended, and the carrier asks what to do: hang up, ring a person, take a message, or go on."""

from __future__ import annotations

from collections.abc import Mapping

from telephony.engines.registry import is_configured
from telephony.enums import EndedReason, EventKind, NextStep, OverBudget
from telephony.models import Call
from telephony.services.answering import line_speech, stream_twiml
from telephony.services.entries import note
from telephony.services.sentences import fill, values_of
from telephony.services.tokens import issue_token
from telephony.services.urls import webhook_url
from telephony.twilio import twiml
from telephony.twilio.fields import whole
from telephony.twilio.twiml import Speech
from tenants.models import Tenant

MAX_RESUMES = 5  # a call that loses its stream again and again goes to a person
REACHED = frozenset({"completed", "answered"})


def continue_call(*, call: Call, tenant: Tenant, form: Mapping[str, str]) -> str:
    """Return the TwiML that carries the call on. Must run inside the tenant."""
    if not call.is_open:
        return twiml.say_and_hang_up()
    if "DialCallStatus" in form:
        return _after_dial(call, tenant, form["DialCallStatus"][:40], form.get("DialCallDuration", ""))
    if "RecordingUrl" in form or "RecordingSid" in form:
        return _hang_up(call, EndedReason.VOICEMAIL)
    match call.next_step:
        case NextStep.HANG_UP:
            return _hang_up(call, None)
        case NextStep.TRANSFER:
            return _dial(call, call.next_number, None)
        case NextStep.FALL_BACK:
            return fall_back(call, tenant)
    return resume(call, tenant)


def needs_a_worker(call: Call, form: Mapping[str, str]) -> bool:
    """Tell whether continuing may open a new media stream, which a worker that is ending must not promise."""
    if form.get("DialCallStatus", "") in REACHED or "RecordingSid" in form:
        return False
    return call.is_open and ("DialCallStatus" in form or not call.next_step)


def _hang_up(call: Call, reason: EndedReason | None) -> str:
    if reason is not None:
        Call.objects.filter(pk=call.pk).update(closing_reason=reason)
    return twiml.say_and_hang_up()


def _dial(call: Call, number: str, before: Speech | None) -> str:
    note(call, EventKind.TRANSFER, {"ringing": number})
    is_announced = call.line is not None and call.line.announces_transfers and call.next_step == NextStep.TRANSFER
    return twiml.dial(
        number=number,
        # The organisation's own number: carriers do not let us show somebody else's.
        caller_id=call.to_number,
        timeout_s=call.line.ring_timeout_s if call.line else 20,
        action_url=webhook_url("call-continue"),
        before=before,
        briefing_url=webhook_url("call-briefing", call=call.call_sid) if is_announced else "",
    )


def _after_dial(call: Call, tenant: Tenant, outcome: str, length: str) -> str:
    line = call.line
    is_announced = line is not None and line.announces_transfers and call.next_step == NextStep.TRANSFER
    # Somebody who picks up and does not take the call has answered, as far as the carrier is concerned.
    was_taken = outcome in REACHED and (not is_announced or call.transfer_taken_at is not None)
    detail: dict[str, object] = {"outcome": outcome, **({"taken": was_taken} if is_announced else {})}
    if (seconds := whole(length)) is not None:
        detail["duration_s"] = seconds  # the carrier charges for this leg, too
    note(call, EventKind.TRANSFER, detail)
    if was_taken:
        return _hang_up(call, EndedReason.TRANSFERRED)
    if line is None:
        return _hang_up(call, EndedReason.TRANSFER_FAILED)
    failed = line_speech(line, tenant, line.transfer_failed_text)
    if call.next_step == NextStep.TRANSFER and line.return_after_transfer and call.resume_count < MAX_RESUMES:
        return resume(call, tenant, before=failed, agent_note=fill(line.transfer_failed_note, values_of(line, tenant)))
    return _take_message(call, tenant, failed, EndedReason.TRANSFER_FAILED)


def fall_back(call: Call, tenant: Tenant) -> str:
    """No agent can carry the call: ring the line's fallback number, else take a message, else say so and hang up."""
    line = call.line
    if line is None:
        return _hang_up(call, EndedReason.PLATFORM_ERROR)
    is_over_budget = call.closing_reason == EndedReason.BUDGET_REACHED
    sorry = line_speech(line, tenant, line.over_budget_text if is_over_budget else line.unavailable_text)
    if is_over_budget and line.over_budget_action == OverBudget.VOICEMAIL:
        return _take_message(call, tenant, sorry, None)
    if line.fallback_number:
        return _dial(call, line.fallback_number, sorry)
    return _take_message(call, tenant, sorry, None)


def _take_message(call: Call, tenant: Tenant, before: Speech, reason: EndedReason | None) -> str:
    line = call.line
    if line is None or not line.voicemail:
        if reason is not None:
            Call.objects.filter(pk=call.pk).update(closing_reason=reason)
        return twiml.say_and_hang_up(before)
    note(call, EventKind.VOICEMAIL)
    if reason is not None:
        Call.objects.filter(pk=call.pk).update(closing_reason=reason)
    ask = line_speech(line, tenant, line.voicemail_text)
    return twiml.take_message(
        before=Speech(f"{before.text} {ask.text}", ask.voice, ask.language),
        max_s=line.voicemail_max_s,
        action_url=webhook_url("call-continue"),
        recording_status_url=webhook_url("recording-status"),
    )


def resume(call: Call, tenant: Tenant, before: Speech | None = None, agent_note: str = "") -> str:
    """Connect the caller to a healthy worker, which takes the conversation up where it was."""
    if call.resume_count >= MAX_RESUMES or not is_configured(call.engine):
        Call.objects.filter(pk=call.pk).update(next_step=NextStep.FALL_BACK, closing_reason=EndedReason.STREAM_LOST)
        call.next_step = NextStep.FALL_BACK
        return fall_back(call, tenant)
    token = issue_token(call, tenant.schema_name)
    same = Call.objects.open().filter(pk=call.pk, resume_count=call.resume_count, stream_count=call.stream_count)
    resumed = same.update(
        token_hash=call.token_hash,
        token_expires_at=call.token_expires_at,
        resume_count=call.resume_count + 1,
        next_step=NextStep.NONE,
        agent_note=agent_note,
        closing_reason="",
    )
    if not resumed:  # the same question came twice, and the other one was answered
        return twiml.wait_and_ask_again(url=webhook_url("call-continue"), seconds=1)
    note(call, EventKind.RESUMED, {"stream": call.stream_count + 1})
    return stream_twiml(call, token, before)
