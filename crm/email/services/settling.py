"""What became of requests whose answer nobody wrote down: a worker was killed, a connection broke, an event came first.

The one rule: what the provider was asked for is never asked for again by guess. It is given back when nothing was sent
(there is no `asked_at`), or when the provider's own events show that it never had it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.core.cache import cache
from django.db import transaction
from django.db.models import Case, Exists, F, OuterRef, QuerySet, Value, When
from django.utils import timezone

from billing.enums import Kind, Leg, Source, Unit
from billing.services.ledger import record_usage
from billing.usage import Usage
from crm.email.enums import BatchState, EventKind, MailingState, MessageState
from crm.email.models import EmailEvent, EmailMessage, Mailing, SendBatch
from crm.email.services.mailings import carry_on_later
from crm.email.signing import OLDEST_S
from tenants import audit
from tenants.celery import publish
from tenants.context import current_tenant
from tenants.enums import AuditAction

if TYPE_CHECKING:
    from tenants.models import User

logger = logging.getLogger("crm")

LEASE = timedelta(minutes=2)  # from the claim to the request, rendering included
ANSWER_WITHIN = timedelta(minutes=5)  # a request ends after 35 s, or its worker is gone
UNKNOWN_FOR = timedelta(seconds=OLDEST_S)  # news we did not take come again for a day
HEARD_WITHIN = timedelta(hours=12)  # by then we have to have taken news of something, so that there was time to repeat it
LOG_AGAIN_AFTER = timedelta(minutes=10)
SETTLES_WITHIN = timedelta(days=3)  # no events come after that
AT_ONCE = 1_000


def settle_all(*, now: datetime | None = None) -> None:
    """Look after every batch that hangs in the air. Safe to run at any time, also twice at once."""
    now = now or timezone.now()
    release_lost_claims(now=now)
    mark_unanswered(now=now)
    release_unknown(now=now)


def release_lost_claims(*, now: datetime | None = None) -> int:
    """Give back what was claimed and never asked for; return how many batches. Nothing of them was sent."""
    now = now or timezone.now()
    lost = SendBatch.objects.filter(state=BatchState.CLAIMED, asked_at=None, created_at__lt=now - LEASE)
    return sum(release_batch(pk, from_states=(BatchState.CLAIMED,), now=now) for pk in _ids(lost))


def mark_unanswered(*, now: datetime | None = None) -> int:
    """Call the fate of requests unknown whose worker did not come back; return how many."""
    now = now or timezone.now()
    lost = SendBatch.objects.filter(state=BatchState.ASKED, asked_at__lt=now - ANSWER_WITHIN)
    return sum(note_unknown(pk, error="The worker was stopped before the answer came.") for pk in _ids(lost))


def note_unknown(batch_id: UUID, *, error: str) -> bool:
    """The provider was asked and did not answer: its events will tell."""
    with transaction.atomic():
        if not SendBatch.objects.filter(pk=batch_id, state=BatchState.ASKED).update(
            state=BatchState.UNKNOWN, error=error[:300]
        ):
            return False
        EmailMessage.objects.filter(batch=batch_id, state=MessageState.CLAIMED).update(state=MessageState.UNKNOWN)
    return True


def batch_seen(batch_ids: Iterable[UUID], *, now: datetime | None = None) -> int:
    """The provider told of messages of these batches, so it has them whole; return how many were in doubt."""
    now = now or timezone.now()
    doubtful = (BatchState.ASKED, BatchState.UNKNOWN)
    found = list(SendBatch.objects.filter(pk__in=list(batch_ids), state__in=doubtful).values_list("pk", flat=True))
    return sum(accept_batch(pk, now=now) for pk in found)


def accept_batch(
    batch_id: UUID, *, provider_id: str = "", status_code: int | None = None, now: datetime | None = None
) -> bool:
    """The provider has a batch; False when that was known. Events may have moved some of its messages on already."""
    now = now or timezone.now()
    with transaction.atomic():
        doubtful = SendBatch.objects.filter(pk=batch_id, state__in=(BatchState.ASKED, BatchState.UNKNOWN))
        is_news = doubtful.update(state=BatchState.ACCEPTED, settled_at=now, error="")
        if provider_id or status_code:
            SendBatch.objects.filter(pk=batch_id, state=BatchState.ACCEPTED, provider_id="").update(
                provider_id=provider_id, status_code=status_code
            )
        if not is_news:
            return False
        ours = EmailMessage.objects.filter(batch=batch_id)
        waiting = (MessageState.CLAIMED, MessageState.UNKNOWN)
        asked_at = SendBatch.objects.values_list("asked_at", flat=True).get(pk=batch_id)
        ours.filter(sent_at=None).update(sent_at=asked_at or now)
        ours.filter(state__in=waiting).update(state=MessageState.SENT, error="")
        _meter(batch_id, now)
        _log_later(batch_id)
    return True


def _meter(batch_id: UUID, now: datetime) -> None:
    batch = SendBatch.objects.get(pk=batch_id)
    usage = Usage(
        key=f"email:{batch_id}",
        provider=batch.provider,
        item="email",
        unit=Unit.MESSAGE,
        quantity=Decimal(EmailMessage.objects.filter(batch=batch_id).count()),
        leg=Leg.EMAIL,
        source=Source.COUNTED,
        at=batch.asked_at or now,
        kind=Kind.EMAIL,
        subject=str(batch_id),
        campaign=f"mailing:{batch.mailing_id}" if batch.mailing_id else "",
    )
    record_usage(tenant=current_tenant(), usages=[usage])


def _log_later(batch_id: UUID) -> None:
    from crm.email.tasks.sending import log_batch as task

    transaction.on_commit(lambda: publish(task, batch_id=str(batch_id)))


def log_batch(*, batch_id: UUID | str, now: datetime | None = None) -> int:
    """Put an accepted batch's messages on their contacts' timelines; return how many. Safe to repeat.

    Apart from the sending, which has better things to do than to write fifty thousand entries.
    """
    from crm.email.services.timeline import bring_up_to_date, log_sent

    unlogged = SendBatch.objects.filter(pk=batch_id, state=BatchState.ACCEPTED, logged_at=None)
    if not unlogged.exists():
        return 0
    ids = list(EmailMessage.objects.filter(batch=batch_id).values_list("pk", flat=True))
    count = log_sent(message_ids=ids)
    if count < len(ids):  # some were there already, as unknown
        bring_up_to_date(message_ids=ids)
    unlogged.update(logged_at=now or timezone.now())
    return count


def unlogged_batches(*, now: datetime) -> list[UUID]:
    """Return accepted batches whose task was lost, each only once in ten minutes: the queue may be long."""
    lost = SendBatch.objects.filter(state=BatchState.ACCEPTED, logged_at=None, settled_at__lt=now - LEASE)
    ids = lost.order_by("settled_at").values_list("pk", flat=True)[:AT_ONCE]
    again_s = LOG_AGAIN_AFTER.total_seconds()
    return [pk for pk in ids if cache.add(f"email:log:{pk}", 1, timeout=int(again_s))]


def release_batch(
    batch_id: UUID,
    *,
    from_states: Collection[BatchState],
    to: BatchState = BatchState.RELEASED,
    not_before: datetime | None = None,
    error: str = "",
    status_code: int | None = None,
    attempts: int = 0,
    now: datetime | None = None,
) -> bool:
    """Put a batch's messages back in line, or end them where their mailing was cancelled; False if it moved on."""
    now = now or timezone.now()
    with transaction.atomic():
        held = SendBatch.objects.filter(pk=batch_id, state__in=from_states)
        if not held.update(state=to, settled_at=now, error=error[:300], status_code=status_code):
            return False
        requeue(EmailMessage.objects.filter(batch=batch_id), not_before=not_before, error=error, attempts=attempts)
        mailing_id = SendBatch.objects.values_list("mailing_id", flat=True).get(pk=batch_id)
        if mailing_id is not None:
            reopen(mailing_id)
    return True


def requeue(messages: Any, *, not_before: datetime | None = None, error: str = "", attempts: int = 0) -> int:
    """Put claimed and unknown ones among these messages back in line; return how many.

    Those of a cancelled mailing are cancelled instead.
    """
    is_over = Exists(Mailing.objects.filter(pk=OuterRef("mailing_id"), state=MailingState.CANCELED))
    waiting: Any = messages.filter(state__in=(MessageState.CLAIMED, MessageState.UNKNOWN))
    return int(
        waiting.update(
            state=Case(When(is_over, then=Value(MessageState.CANCELED)), default=Value(MessageState.QUEUED)),
            not_before=F("not_before") if not_before is None else not_before,
            attempts=F("attempts") + attempts,
            batch=None,
            error=error[:300],
        )
    )


def reopen(mailing_id: int) -> None:
    """A mailing that seemed to be done has messages in line again."""
    again = Mailing.objects.filter(pk=mailing_id, state=MailingState.DONE)
    if again.filter(messages__state=MessageState.QUEUED).exists() and again.update(
        state=MailingState.SENDING, finished_at=None
    ):
        carry_on_later(Mailing.objects.get(pk=mailing_id))


def release_unknown(*, now: datetime | None = None, after: timedelta = UNKNOWN_FOR) -> int:
    """Put messages back in line that the provider never had; return how many batches.

    Why that is safe: the provider tells "processed" of every message it takes, at once and at the same webhook, and
    tells it again for a day when we did not take it. When that day is over, nothing was told of any of the messages of
    an unanswered request, and "processed" of a later one was taken by us in the first half of that day, then there is no
    news because there was no message. Any sooner, or by any other kind of news, it might only be on its way; and when we
    took nothing in that time, as in an outage of ours, the provider may have given up telling us. A batch without a later
    one to compare it with stays unknown, as does all of a provider that tells nothing (SMTP). Meanwhile and afterwards a
    person may decide (`resend_unknown`).
    """
    now = now or timezone.now()
    doubtful = SendBatch.objects.filter(
        state=BatchState.UNKNOWN, asked_at__lt=now - after, asked_at__gt=now - SETTLES_WITHIN
    )
    count = 0
    for batch in doubtful.order_by("created_at")[:AT_ONCE]:
        if has_news(batch):
            batch_seen([batch.pk], now=now)
        elif _has_later_news(batch):
            count += release_batch(batch.pk, from_states=(BatchState.UNKNOWN,), now=now)
    if count:
        logger.warning("Requests the provider never received are made again.", extra={"batches": count})
    return count


def has_news(batch: SendBatch) -> bool:
    """Tell whether the provider has told anything of the batch's messages, applied to them yet or not."""
    ours = EmailMessage.objects.filter(batch=batch).values("pk")
    return EmailEvent.objects.filter(message_id__in=ours).exists()  # type: ignore[no-any-return]


def _has_later_news(batch: SendBatch) -> bool:
    assert batch.asked_at is not None
    later = SendBatch.objects.filter(
        provider=batch.provider, state=BatchState.ACCEPTED, asked_at__gt=batch.asked_at
    ).order_by("asked_at")
    theirs = EmailMessage.objects.filter(batch__in=list(later.values_list("pk", flat=True)[:50])).values("pk")
    taken = EmailEvent.objects.filter(
        message_id__in=theirs, kind=EventKind.PROCESSED, received_at__lt=batch.asked_at + HEARD_WITHIN
    )
    return taken.exists()  # type: ignore[no-any-return]


def resend_unknown(mailing: Mailing, *, by: User | None = None, now: datetime | None = None) -> int:
    """A person has decided that what was never answered did not arrive; return how many messages go again."""
    now = now or timezone.now()
    count = 0
    batches = SendBatch.objects.filter(mailing=mailing, state=BatchState.UNKNOWN).exclude(
        mailing__state=MailingState.CANCELED
    )
    for batch in list(batches):
        size = EmailMessage.objects.filter(batch=batch, state=MessageState.UNKNOWN).count()
        if not has_news(batch) and release_batch(batch.pk, from_states=(BatchState.UNKNOWN,), now=now):
            count += size
    if count:
        target = f"mailing {mailing.pk} sends {count} unanswered messages again"
        audit.record(AuditAction.MAILING_CHANGED, tenant=current_tenant(), actor=by, target=target)
    return count


def resend_message(message: EmailMessage, *, by: User | None = None, now: datetime | None = None) -> bool:
    """A person has decided that this message did not arrive; False when something was heard of it meanwhile."""
    now = now or timezone.now()
    with transaction.atomic():
        unknown = EmailMessage.objects.filter(pk=message.pk, state=MessageState.UNKNOWN)
        unknown = unknown.exclude(mailing__state=MailingState.CANCELED)
        if EmailEvent.objects.filter(message_id=message.pk).exists() or not unknown.update(
            state=MessageState.QUEUED, batch=None, not_before=now, error=""
        ):
            return False
        if message.mailing_id is not None:
            reopen(message.mailing_id)
        audit.record(
            AuditAction.MAILING_CHANGED, tenant=current_tenant(), actor=by, target=f"message {message.pk} sent again"
        )
    return True


def _ids(batches: QuerySet[SendBatch]) -> list[UUID]:
    return list(batches.order_by("created_at").values_list("pk", flat=True)[:AT_ONCE])
