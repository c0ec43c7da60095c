"""What nobody else comes back to: starts that are due, mailings that have gone silent, messages that were put off."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from crm.email.enums import MailingState
from crm.email.models import Mailing
from crm.email.services.claiming import due_of, due_singles
from crm.email.services.finishing import finish_mailing

SILENT_AFTER = timedelta(seconds=60)


def start_due(*, now: datetime | None = None) -> list[int]:
    """Set scheduled mailings going whose time has come; return those, each to one caller only."""
    now = now or timezone.now()
    due = Mailing.objects.filter(state=MailingState.SCHEDULED, send_at__lte=now)
    return [
        pk
        for pk in due.values_list("pk", flat=True)
        if Mailing.objects.filter(pk=pk, state=MailingState.SCHEDULED).update(state=MailingState.PREPARING, touched_at=now)
    ]


def silent_mailings(state: MailingState, *, now: datetime | None = None) -> list[int]:
    """Return mailings in this state whose worker has gone silent, each to one caller only."""
    now = now or timezone.now()
    quiet = Mailing.objects.filter(state=state, touched_at__lt=now - SILENT_AFTER)
    return [
        pk
        for pk in quiet.values_list("pk", flat=True)
        if Mailing.objects.filter(pk=pk, state=state, touched_at__lt=now - SILENT_AFTER).update(touched_at=now)
    ]


def due_mailings(*, now: datetime | None = None) -> list[int]:
    """Return silent mailings with something to send now. Others of them are called done if they are."""
    now = now or timezone.now()
    found = []
    for mailing in Mailing.objects.filter(pk__in=silent_mailings(MailingState.SENDING, now=now)):
        if due_of(mailing, now=now).exists():
            found.append(mailing.pk)
        else:
            finish_mailing(mailing=mailing, now=now)
    return found


def has_due_singles(*, now: datetime | None = None) -> bool:
    return bool(due_singles(now=now or timezone.now()).exists())
