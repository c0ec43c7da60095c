"""A final status for a call that was never seen: it is stored as ended, so that a late first request finds it so."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils import timezone

from telephony.enums import CallStatus, EndedReason
from telephony.models import Call
from telephony.services.answering import IncomingCall, find_line, new_call
from telephony.services.finishing import reason_for


def remember_ended_call(*, form: Mapping[str, str], status: CallStatus, duration_s: int | None) -> Call | None:
    """Must run inside the tenant. Returns None when the form names no call, or the number no line."""
    if not (form.get("CallSid") and form.get("To")):
        return None
    incoming = IncomingCall.from_form(form)
    line = find_line(incoming.to_number)
    if line is None:
        return None
    call = new_call(incoming, line)
    call.status = status
    call.ended_at = timezone.now()
    call.duration_s = duration_s
    call.ended_reason = reason_for(call, status, call.ended_at)
    if status == CallStatus.COMPLETED:
        call.ended_reason = EndedReason.STREAM_NEVER_STARTED if duration_s else EndedReason.CALLER_HUNG_UP
    stored, _ = Call.objects.get_or_create(call_sid=call.call_sid, defaults=_fields(call))
    return stored


def _fields(call: Call) -> dict[str, object]:
    names = (field.attname for field in Call._meta.concrete_fields if not field.primary_key and field.name != "call_sid")
    return {name: getattr(call, name) for name in names}
