"""The beginning and the end of one media stream, as the database sees them."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from telephony.effects import Finish
from telephony.enums import CallStatus, NextStep
from telephony.models import Call
from telephony.plan import CallPlan
from telephony.services.callers import announce_call
from telephony.services.control import tell_watchers
from telephony.services.finishing import finish_call
from telephony.services.plans import plan_call
from telephony.services.tokens import spend_token
from tenants.models import Tenant


def begin_stream(*, tenant: Tenant, token: str, call_sid: str, stream_sid: str) -> CallPlan:
    """Spend the token and return what the conversation needs. Must run inside the tenant. Raises TokenError."""
    with transaction.atomic():
        call = spend_token(token=token, call_sid=call_sid, stream_sid=stream_sid)
        plan = plan_call(call=call, tenant=tenant)
        if call.stream_count == 1:
            announce_call(call=call)
    tell_watchers(call, {"type": "call.status"})
    return plan


def end_stream(*, plan: CallPlan, finish: Finish | None) -> None:
    """Store that the stream ended and what was decided; a later stream's record, or a member's decision, wins.

    A stream that broke off (`finish` is None) leaves the next step open, and the carrier is answered with a new one.
    """
    call = Call.objects.get(pk=plan.call_id)
    ours = Call.objects.open().filter(pk=call.pk, stream_count=plan.stream_number)
    ours.update(stream_ended_at=timezone.now())
    if finish is not None:
        chosen: dict[str, object] = {"closing_reason": finish.reason or ""}
        if finish.step is not None:
            chosen |= {"next_step": finish.step, "next_number": finish.to_number}
            chosen |= {"briefing": finish.note, "transfer_taken_at": None}
        ours.filter(closing_reason="", next_step=NextStep.NONE).update(**chosen)
    if plan.is_browser:  # no carrier will tell us that a test call has ended
        finish_call(call=call, status=CallStatus.COMPLETED)
