"""The end of a call, once, in whatever order the news of it arrives."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Max, Q
from django.utils import timezone

from telephony.enums import OPEN_STATUSES, CallStatus, Direction, EndedReason, EventKind, NextStep, SummaryStatus
from telephony.models import Call
from telephony.services.carrier import carrier, note_answer, note_outage
from telephony.services.control import tell_call, tell_watchers
from telephony.services.entries import note
from telephony.services.seats import LAPSE_S, free_seat
from telephony.services.tokens import LIFETIME
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
UNASKED_PATIENCE = timedelta(minutes=15)  # when it cannot be asked: a lost stream comes back within seconds, if at all
WITH_A_PERSON = timedelta(hours=4)  # the carrier's own limit for such calls
LONGEST_CALL = timedelta(seconds=LAPSE_S)


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

    `held` are the SIDs some worker holds a socket of; None when that is unknown, and then it accuses nobody. A call that
    is older than the longest one there can be is doubtful whoever holds it.
    """
    quiet = Q(stream_ended_at__lt=now - QUIET_AFTER) | Q(answered_at=None, started_at__lt=now - GIVE_UP_AFTER)
    doubtful = list(Call.objects.open().filter(quiet | Q(started_at__lt=now - LONGEST_CALL)))
    if held is not None:
        running = Call.objects.open().filter(stream_ended_at=None, answered_at__lt=now - QUIET_AFTER)
        seen = {call.pk for call in doubtful}
        doubtful += [call for call in running if call.call_sid not in held and call.pk not in seen]
    return doubtful


def reconcile_calls(calls: Iterable[Call], *, ask: bool = True) -> bool:
    """Reconcile each call; return whether the carrier is still worth asking.

    A carrier that does not answer takes ten seconds to say so: after the first silence a sweep asks no more, and the
    other calls go by our own evidence.
    """
    for call in calls:
        if ask or call.direction == Direction.BROWSER:
            ask = _reconcile(call, timezone.now())[1] and ask
        else:
            _finish_by_evidence(call, timezone.now(), UNASKED_PATIENCE)
    return ask


def reconcile_call(*, call: Call, now: datetime | None = None) -> bool:
    """Ask the carrier about a call whose end we may have missed; return whether it was finalised."""
    return _reconcile(call, now or timezone.now())[0]


def _reconcile(call: Call, now: datetime) -> tuple[bool, bool]:
    """Return whether the call was finalised, and whether the carrier answered."""
    if call.direction == Direction.BROWSER:
        return finish_call(call=call, status=CallStatus.COMPLETED, now=now), True
    try:
        known = carrier().fetch_call(call.call_sid)
    except (NotFoundError, NotConfiguredError):
        return _finish_by_evidence(call, now, GIVE_UP_AFTER), True
    except TelephonyError as error:
        logger.warning("The carrier could not be asked about a call.", extra={"status": error.status})
        note_outage(error)
        return _finish_by_evidence(call, now, UNASKED_PATIENCE), False
    note_answer()
    if known.status not in CallStatus.values or not CallStatus(known.status).is_final:
        return False, True
    return finish_call(call=call, status=CallStatus(known.status), duration_s=known.duration_s, now=now), True


def _finish_by_evidence(call: Call, now: datetime, patience: timedelta) -> bool:
    """Finalise a call that our own rows prove to be over; return whether they do.

    The carrier knows nothing of it, or cannot be asked: what we saw is all there will be, and a call that nobody ends
    keeps its seat, and in the end every caller out.
    """
    seen = _last_sign_of_life(call)
    if call.answered_at is None and not _went_on_without_us(call):
        # Nobody can open a stream any more once the token has expired.
        over_at = call.token_expires_at or call.started_at + LIFETIME
        reason = EndedReason.STREAM_NEVER_STARTED
    else:
        over_at = seen + (WITH_A_PERSON if _is_with_a_person(call) else patience)
        reason = EndedReason.STREAM_LOST
    if now < min(over_at, call.started_at + LONGEST_CALL):
        return False
    chosen = None if call.closing_reason else reason
    return finish_call(call=call, status=CallStatus.COMPLETED, reason=chosen, now=seen)


def _last_sign_of_life(call: Call) -> datetime:
    said = call.messages.aggregate(at=Max("spoken_at"))["at"]
    happened = call.events.aggregate(at=Max("at"))["at"]
    seen: list[datetime | None] = [call.started_at, call.answered_at, call.stream_ended_at, said, happened]
    return max(at for at in seen if at is not None)


def _went_on_without_us(call: Call) -> bool:
    """Tell whether the carrier asked how a call without a stream goes on: to a person, or to voicemail."""
    return call.events.filter(kind__in=(EventKind.TRANSFER, EventKind.VOICEMAIL)).exists()


def _is_with_a_person(call: Call) -> bool:
    """With a person a call goes on without us for as long as they like."""
    if call.next_step not in (NextStep.TRANSFER, NextStep.FALL_BACK):
        return False
    return call.events.filter(kind=EventKind.TRANSFER).exists()
