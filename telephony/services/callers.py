"""Who is on the line: the contact a call belongs to, before the greeting and after the end."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from crm.hooks.enums import Event
from crm.hooks.services.emitting import emit
from crm.models import Contact
from crm.services.calls import caller_context, contact_for_caller, contact_of, record_call
from telephony.enums import CallStatus, Direction
from telephony.models import Call

logger = logging.getLogger("telephony")

LATE = timedelta(seconds=15)


def recognise_caller(*, call: Call) -> str:
    """Return what the agent is to know of the caller; empty for somebody unknown. Must run inside the tenant.

    Nobody is refused because something is wrong with their contact: then the agent knows nothing of them.
    """
    if call.direction == Direction.BROWSER:
        return ""
    try:
        with transaction.atomic():
            return _known_of(call)
    except Exception:
        logger.exception("A caller could not be recognised.", extra={"call": call.pk})
        return ""


def _known_of(call: Call) -> str:
    contact = call.contact or contact_of(call.from_number)
    if contact is None:
        return ""
    if call.contact_id != contact.pk:
        Call.objects.filter(pk=call.pk).update(contact=contact)
        call.contact = contact
    return caller_context(contact, with_details=_may_hear_details(call))


def _may_hear_details(call: Call) -> bool:
    """What was said and agreed before is for the contact alone, and a number that nobody vouches for is no proof."""
    return call.is_attested or (call.line is not None and call.line.details_by_number)


def log_call(*, call_id: str) -> None:
    """Put a finished call on its contact's timeline, and tell who wants to know. Safe to repeat.

    An unknown caller becomes a lead, if the line is set to that. A summary that comes later is filled in.
    """
    with transaction.atomic():
        # Not locked: merging takes the contact first and its calls after, and so does this.
        call = Call.objects.select_related("line", "contact").get(pk=call_id)
        if call.is_open or call.direction == Direction.BROWSER or call.erased_at is not None:
            return
        contact = _contact(call)
        if contact is not None:
            record_call(
                contact=contact,
                key=str(call.pk),
                line=call.line.name if call.line else call.to_number,
                at=call.started_at,
                metadata=_facts(call),
                summary=call.summary,
            )
        first = Call.objects.filter(pk=call.pk, logged_at=None).update(logged_at=timezone.now(), contact=contact)
        if first:
            emit(event=Event.CALL_FINISHED, data=call_payload(call, contact), key=f"call:{call.pk}:finished")


def _contact(call: Call) -> Contact | None:
    if call.logged_at is not None:  # later news of the same call: it stays with whom it was given to
        return call.contact
    if call.contact is not None and call.contact.deleted_at is None:
        return call.contact
    return contact_for_caller(number=call.from_number, create=bool(call.line and call.line.creates_leads))


def _facts(call: Call) -> dict[str, Any]:
    return {
        "call_id": str(call.pk),
        "url": call.get_absolute_url(),
        "answered": call.answered_at is not None,
        "duration_s": call.duration_s,
        "ended_reason": call.ended_reason,
        "direction": call.direction,
    }


def announce_call(*, call: Call) -> None:
    """Tell who wants to know that a call is being answered. Run in the transaction that says so."""
    try:
        with transaction.atomic():
            _emit_started(call)
    except Exception:  # the caller is on the line, whoever can or cannot be told
        logger.exception("A call could not be announced.", extra={"call": call.pk})


def _emit_started(call: Call) -> None:
    emit(event=Event.CALL_STARTED, data=call_payload(call, call.contact), key=f"call:{call.pk}:started")


def call_payload(call: Call, contact: Contact | None) -> dict[str, Any]:
    return {
        "id": str(call.pk),
        "call_sid": call.call_sid,
        "direction": call.direction,
        "from_number": call.from_number,
        "to_number": call.to_number,
        "status": call.status,
        "started_at": call.started_at.isoformat(),
        "answered_at": call.answered_at.isoformat() if call.answered_at else None,
        "ended_at": call.ended_at.isoformat() if call.ended_at else None,
        "duration_s": call.duration_s,
        "ended_reason": call.ended_reason,
        "contact": contact.pk if contact else None,
    }


def unlogged_calls(*, now: datetime | None = None) -> list[str]:
    """Return finished calls whose entry was lost on the way, and those that were refused before they began."""
    late = (now or timezone.now()) - LATE
    over = Call.objects.filter(logged_at=None, ended_at__lt=late, status__in=[s for s in CallStatus if s.is_final])
    return [str(pk) for pk in over.exclude(direction=Direction.BROWSER).values_list("pk", flat=True)[:500]]
