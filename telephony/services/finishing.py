"""The end of a call, once, in whatever order the news of it arrives."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from telephony.enums import OPEN_STATUSES, CallStatus, Direction, EndedReason, EventKind, NextStep, SummaryStatus
from telephony.models import Call
from telephony.services.control import tell_call, tell_watchers
from telephony.services.entries import note
from telephony.services.seats import free_seat
from telephony.twilio.errors import NotConfiguredError, NotFoundError, TelephonyError
from tenants.celery import publish
from tenants.context import current_tenant, entered
from tenants.models import Tenant

logger = logging.getLogger("telephony")

# The carrier's words for an end, and what they mean when nobody on our side chose the end.
_CARRIER_REASONS = {
    CallStatus.BUSY: EndedReason.CARRIER_BUSY,
    CallStatus.NO_ANSWER: EndedReason.CARRIER_NO_ANSWER,
    CallStatus.FAILED: EndedReason.CARRIER_FAILED,
    CallStatus.CANCELED: EndedReason.CARRIER_CANCELED,
}
# A caller who hangs up before the stream is there did so within this time; later it never came.
STREAM_MUST_START = timedelta(seconds=15)

QUIET_AFTER = timedelta(seconds=12)  # without a stream, before the carrier is asked
GIVE_UP_AFTER = timedelta(seconds=45)  # when the carrier does not know the call
WITH_A_PERSON = timedelta(hours=4)  # the carrier's own limit for such calls


def reason_for(call: Call, status: CallStatus, ended_at: datetime) -> EndedReason:
    """Return why a call ended: what our side decided, else what the carrier says."""
    if call.closing_reason:
        return EndedReason(call.closing_reason)
    if status in _CARRIER_REASONS:
        return _CARRIER_REASONS[status]
    if call.answered_at is None and ended_at - call.started_at > STREAM_MUST_START:
        return EndedReason.STREAM_NEVER_STARTED
    return EndedReason.CALLER_HUNG_UP


def finish_call(
    *,
    call: Call,
    status: CallStatus,
    duration_s: int | None = None,
    reason: EndedReason | None = None,
    now: datetime | None = None,
) -> bool:
    """Finalise a call; return whether this was the time it happened. Must run inside the tenant."""
    ended_at = now or timezone.now()
    call.refresh_from_db()
    reason = reason or reason_for(call, status, ended_at)
    is_measured = duration_s is not None
    if duration_s is None:
        begun = call.answered_at or ended_at
        duration_s = max(0, round(((call.stream_ended_at or ended_at) - begun).total_seconds()))
    with transaction.atomic():
        claimed = Call.objects.filter(pk=call.pk, status__in=OPEN_STATUSES).update(
            status=status,
            ended_at=ended_at,
            duration_s=duration_s,
            duration_is_measured=is_measured,
            ended_reason=reason,
            token_hash="",
            summary_status=SummaryStatus.PENDING if call.answered_at else SummaryStatus.NOTHING_SAID,
        )
        if claimed:
            tenant = current_tenant()
            transaction.on_commit(lambda: _after_end(tenant, call, reason))
        elif is_measured:
            # The carrier's length replaces one we had to guess, or that of a call that was final from the start.
            guessed = Call.objects.filter(pk=call.pk, duration_is_measured=False)
            if guessed.update(duration_s=duration_s, duration_is_measured=True):
                transaction.on_commit(lambda: _meter(call))
    return bool(claimed)


def _after_end(tenant: Tenant, call: Call, reason: EndedReason) -> None:
    """What follows an end. Each step is safe to lose: the sweeps come back to it."""
    with entered(tenant):
        free_seat(schema=tenant.schema_name, call_sid=call.call_sid)
        _tell_everybody(call, reason)


def _meter(call: Call) -> None:
    from telephony.tasks import meter_call

    publish(meter_call, call_id=str(call.pk))


def _tell_everybody(call: Call, reason: EndedReason) -> None:
    from telephony.tasks import log_call, write_summary

    call.refresh_from_db()
    note(call, EventKind.ENDED, {"reason": str(reason), "fault": str(reason.fault)})
    tell_call(call, {"type": "call.ended"})
    tell_watchers(call, {"type": "call.status"})
    publish(log_call, call_id=str(call.pk))
    _meter(call)
    if call.summary_status == SummaryStatus.PENDING:
        publish(write_summary, call_id=str(call.pk), countdown=3)


def take_status(*, call: Call, status: CallStatus, duration_s: int | None) -> None:
    """A status callback: only a final one changes anything here, and never backwards."""
    if status.is_final:
        finish_call(call=call, status=status, duration_s=duration_s)
    elif status == CallStatus.IN_PROGRESS:
        Call.objects.filter(pk=call.pk, status=CallStatus.RINGING).update(status=CallStatus.IN_PROGRESS)


def doubtful_calls(now: datetime, *, held: set[str] | None) -> list[Call]:
    """Return open calls without a living stream for a while: their end may have been missed.

    `held` are the SIDs some worker holds a socket of; None when that is unknown, and then it accuses nobody.
    """
    quiet = Q(stream_ended_at__lt=now - QUIET_AFTER) | Q(answered_at=None, started_at__lt=now - GIVE_UP_AFTER)
    doubtful = list(Call.objects.open().filter(quiet))
    if held is not None:
        running = Call.objects.open().filter(stream_ended_at=None, answered_at__lt=now - QUIET_AFTER)
        doubtful += [call for call in running if call.call_sid not in held]
    return doubtful


def reconcile_call(*, call: Call, now: datetime | None = None) -> bool:
    """Ask the carrier about a call whose end we may have missed; return whether it was finalised."""
    from telephony.services.carrier import carrier

    now = now or timezone.now()
    if call.direction == Direction.BROWSER:
        return finish_call(call=call, status=CallStatus.COMPLETED, now=now)
    try:
        known = carrier().fetch_call(call.call_sid)
    except (NotFoundError, NotConfiguredError):
        return _finish_unknown(call, now)
    except TelephonyError:
        return False  # it will be asked again
    if known.status not in CallStatus.values or not CallStatus(known.status).is_final:
        return False
    return finish_call(call=call, status=CallStatus(known.status), duration_s=known.duration_s, now=now)


def _finish_unknown(call: Call, now: datetime) -> bool:
    """The carrier knows nothing of the call: after a while our own evidence is all there will ever be."""
    last_seen = call.stream_ended_at or call.answered_at or call.started_at
    # With a person, or a message being left, a call goes on without us for as long as they like.
    patience = WITH_A_PERSON if call.next_step in (NextStep.TRANSFER, NextStep.FALL_BACK) else GIVE_UP_AFTER
    if now - last_seen < patience:
        return False
    reason = (
        None if call.closing_reason else (EndedReason.STREAM_LOST if call.answered_at else EndedReason.STREAM_NEVER_STARTED)
    )
    return finish_call(call=call, status=CallStatus.COMPLETED, reason=reason, now=now)
