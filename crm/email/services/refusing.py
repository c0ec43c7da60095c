"""The provider said no: what that means for the messages, for their mailing, and for everybody else."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from crm.email.enums import BatchState, MessageState, PauseReason
from crm.email.models import EmailMessage, Mailing, SendBatch
from crm.email.providers.base import Fault, Refused
from crm.email.services.mailings import pause_mailing
from crm.email.services.settling import requeue
from crm.hooks.backoff import delay_s
from thanos.log import redact

IN_DOUBT = (BatchState.ASKED, BatchState.UNKNOWN)
_WAITING = (MessageState.CLAIMED, MessageState.UNKNOWN)
REST_S = 15.0
MAX_REST_S = 300.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the worker has to stop, and for how long everybody leaves the provider alone."""

    is_stop: bool = False
    rest_s: float = 0.0


def refuse(
    *,
    row: SendBatch,
    mailing: Mailing | None,
    messages: Sequence[EmailMessage],
    answer: Refused,
    now: datetime | None = None,
) -> Verdict:
    """Settle a refused request. Nothing happens when events have shown meanwhile that it was taken all the same."""
    now, answer = now or timezone.now(), _redacted(answer)
    with transaction.atomic():
        if not _close(row, answer, now):
            return Verdict(is_stop=True)
        if answer.is_account:
            return _stop(row, mailing, answer, now)
        if answer.is_retryable:
            _put_off(row, messages, answer, now)
            if any(fault.recipient is not None for fault in answer.faults):
                return Verdict()  # that one mailbox has to wait, and nobody else
            return Verdict(is_stop=True, rest_s=min(answer.retry_after_s or REST_S, MAX_REST_S))
        named = {fault.recipient: fault.text for fault in answer.faults if fault.recipient is not None}
        if any(at < len(messages) for at in named):
            return _fail_named(row, messages, named)
        if len(messages) > 1:
            return _stop(row, mailing, answer, now)  # it is not said whose fault it is, so nobody loses their message
        return _fail_alone(row, mailing, messages, answer)


def _redacted(answer: Refused) -> Refused:
    """Providers quote addresses, and the columns their words are kept in are not encrypted."""
    return replace(answer, faults=tuple(replace(fault, text=redact(fault.text)) for fault in answer.faults))


def _close(row: SendBatch, answer: Refused, now: datetime) -> bool:
    doubtful = SendBatch.objects.filter(pk=row.pk, state__in=IN_DOUBT)
    values = {"status_code": answer.status, "error": answer.text[:300], "settled_at": now}
    return bool(doubtful.update(state=BatchState.REFUSED, **values))


def _stop(row: SendBatch, mailing: Mailing | None, answer: Refused, now: datetime) -> Verdict:
    """None of it is taken: the mailing waits for a person, a message without one for a better time."""
    held = EmailMessage.objects.filter(batch=row)
    if mailing is None:
        _put_off(row, list(held), answer, now)
    else:
        pause_mailing(mailing=mailing, reason=PauseReason.REFUSED, error=answer.text)
        requeue(held)
    return Verdict(is_stop=True)


def _put_off(row: SendBatch, messages: Sequence[EmailMessage], answer: Refused, now: datetime) -> None:
    """Put messages back in line for later, each time longer; those that have been tried often enough have failed."""
    for attempts in sorted({message.attempts for message in messages}):
        ids = [message.pk for message in messages if message.attempts == attempts]
        held = EmailMessage.objects.filter(pk__in=ids, batch=row)
        delay = delay_s(attempt=attempts + 1, chance=random.random(), retry_after_s=answer.retry_after_s)
        if delay is None:
            held.filter(state__in=_WAITING).update(
                state=MessageState.FAILED, attempts=attempts + 1, error=answer.text[:300]
            )
        else:
            requeue(held, not_before=now + timedelta(seconds=delay), error=answer.text, attempts=1)


def put_off_claim(*, row: SendBatch, error: str, now: datetime | None = None) -> int:
    """Nothing could be asked for under a claim, for a reason that may pass: put it off; return how many messages."""
    now = now or timezone.now()
    with transaction.atomic():
        if not SendBatch.objects.select_for_update().filter(pk=row.pk, state=BatchState.CLAIMED).exists():
            return 0
        held = list(EmailMessage.objects.filter(batch=row, state=MessageState.CLAIMED))
        _put_off(row, held, Refused(0, (Fault(error),)), now)
    return len(held)


def _fail_named(row: SendBatch, messages: Sequence[EmailMessage], named: dict[int, str]) -> Verdict:
    """The provider objects to some of the recipients: the others go again at once."""
    for at, text in named.items():
        if at < len(messages):
            _fail(row, [messages[at]], text)
    requeue(EmailMessage.objects.filter(batch=row))
    return Verdict()


def _fail_alone(row: SendBatch, mailing: Mailing | None, messages: Sequence[EmailMessage], answer: Refused) -> Verdict:
    _fail(row, messages, answer.text)
    if mailing is None:
        return Verdict()
    pause_mailing(mailing=mailing, reason=PauseReason.REFUSED, error=answer.text)
    return Verdict(is_stop=True)


def _fail(row: SendBatch, messages: Sequence[EmailMessage], text: str) -> None:
    ids = [message.pk for message in messages]
    waiting = EmailMessage.objects.filter(pk__in=ids, batch=row, state__in=_WAITING)
    waiting.update(state=MessageState.FAILED, error=text[:300])


def split(*, row: SendBatch, parts: Sequence[Sequence[EmailMessage]]) -> list[SendBatch]:
    """A request was too large: its messages are claimed anew in several batches; [] when it moved on meanwhile.

    All in one transaction, so that a worker that is killed here leaves claims whose lease ends like any other's.
    """
    now = timezone.now()
    with transaction.atomic():
        if not _close(row, Refused(413), now):
            return []
        return [_claimed_again(row, part, now) for part in parts]


def _claimed_again(row: SendBatch, messages: Sequence[EmailMessage], now: datetime) -> SendBatch:
    batch = SendBatch.objects.create(mailing_id=row.mailing_id, provider=row.provider, size=len(messages), created_at=now)
    EmailMessage.objects.filter(pk__in=[message.pk for message in messages], batch=row).update(batch=batch)
    return batch
