"""When a mailing is over, and when it had better be stopped."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Count
from django.utils import timezone

from crm.email.enums import HANDED_OVER, OPEN_STATES, MailingState, MessageState, PauseReason
from crm.email.models import EmailMessage, Mailing
from crm.email.models.setup import email_settings
from crm.email.services.mailings import pause_mailing
from crm.hooks.enums import Event
from crm.hooks.services.emitting import emit

LONGEST_WAIT_S = 30.0  # what is due later is the sweep's
JUDGED_FROM = 50  # messages handed over


def counts_of(mailing: Mailing) -> dict[str, int]:
    """Return how many messages of a mailing are in each state."""
    rows = EmailMessage.objects.filter(mailing=mailing).order_by().values_list("state").annotate(count=Count("pk"))
    return {state: count for state, count in rows}  # noqa: C416 (rows are of the database's type)


def finish_mailing(*, mailing: Mailing, now: datetime | None = None) -> float | None:
    """Call a mailing done when nothing of it is open; else return in how many seconds to look again, if that is soon."""
    now = now or timezone.now()
    with transaction.atomic():
        current = Mailing.objects.select_for_update().get(pk=mailing.pk)
        if current.state != MailingState.SENDING:
            return None
        open_ = EmailMessage.objects.filter(mailing=current, state__in=OPEN_STATES)
        if open_.exists():
            Mailing.objects.filter(pk=current.pk).update(touched_at=now)
            next_at = (
                open_.filter(state=MessageState.QUEUED).order_by("not_before").values_list("not_before", flat=True).first()
            )
            wait_s = (next_at - now).total_seconds() if next_at else LONGEST_WAIT_S
            return max(0.0, wait_s) if wait_s < LONGEST_WAIT_S else None
        Mailing.objects.filter(pk=current.pk).update(state=MailingState.DONE, finished_at=now, touched_at=now)
        emit(event=Event.MAILING_FINISHED, data=payload_of(current, now), key=f"mailing:{current.pk}")
    return None


def payload_of(mailing: Mailing, finished_at: datetime) -> dict[str, Any]:
    return {
        "id": mailing.pk,
        "name": mailing.name,
        "state": MailingState.DONE,
        "started_at": mailing.started_at,
        "finished_at": finished_at,
        "messages": counts_of(mailing),
    }


def pause_if_bouncing(*, mailing: Mailing) -> bool:
    """Stop a mailing of which too much does not arrive: more of it would cost the sender's good name.

    Only once: a person who resumes it has decided.
    """
    current = Mailing.objects.filter(pk=mailing.pk, state=MailingState.SENDING).exclude(pause_reason=PauseReason.BOUNCES)
    if not current.exists():
        return False
    counts = counts_of(mailing)
    handed_over = sum(counts.get(state, 0) for state in HANDED_OVER)
    bounced = counts.get(MessageState.BOUNCED, 0)
    if handed_over < JUDGED_FROM or bounced * 100 <= handed_over * email_settings().pause_at_bounce_percent:
        return False
    return pause_mailing(mailing=mailing, reason=PauseReason.BOUNCES, error=f"{bounced} of {handed_over} bounced.")
