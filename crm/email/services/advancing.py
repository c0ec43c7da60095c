"""Everybody whose step is due goes on by it, in one transaction with the message that comes of it.

A row is claimed by its lock: two workers never hold the same one, and whoever is killed leaves it as it was. That a
step is not written twice, even so, is kept by the constraints of `EmailMessage` and `StepPassage`.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from crm.email.enums import HANDED_OVER, OPEN_STATES, EnrolmentState, MessageState, Otherwise, SkipReason, StepCondition
from crm.email.models import EmailMessage, Enrolment, SequenceStep, Suppression
from crm.email.models import Sequence as EmailSequence
from crm.email.models.sequences import Passing, StepPassage
from crm.email.services.leaving import CUT_SHORT, replied_among
from crm.email.services.queueing import queue_message
from crm.email.services.sequences import cancel_unsent, hold_unsent, stop_enrolments
from crm.email.services.suppressing import skip_reasons
from crm.email.steps import LOOK_AGAIN_AFTER, Decision, Facts, Previous, Step, What, decide, end_of

logger = logging.getLogger("crm")

CHUNK = 50
STEP_S = 20.0
SWEPT_AT_ONCE = 1000
BINNED_FOR = timedelta(minutes=5)  # a deletion can be taken back at once, and then nothing has happened
# The provider has it, will have it, or may have it: what it did not take was no e-mail.
_COUNTS = tuple(set(HANDED_OVER) - {MessageState.DROPPED, MessageState.BLOCKED}) + OPEN_STATES

Queue = Callable[..., EmailMessage]


def advance_due(*, now: datetime | None = None, step_s: float = STEP_S, queue: Queue = queue_message) -> bool:
    """Carry on everybody whose next step is due, for a while; return whether more is to be done."""
    until = time.monotonic() + step_s
    while _advance_chunk(now or timezone.now(), queue) == CHUNK:
        if time.monotonic() > until:
            return True
    return False


def due_now(now: datetime) -> Any:
    """Return the enrolments that a look is due at, of sequences that run."""
    return Enrolment.objects.filter(
        state=EnrolmentState.ACTIVE, due_at__lte=now, sequence__is_active=True, sequence__deleted_at=None
    )


def _advance_chunk(now: datetime, queue: Queue) -> int:
    with transaction.atomic():
        # The contacts too, before anything refers to them: merging holds them first and then comes for the enrolments.
        free = due_now(now).select_for_update(skip_locked=True, no_key=True, of=("self", "contact"))
        rows = list(free.select_related("contact", "sequence").order_by("due_at", "pk")[:CHUNK])
        known = _gather(rows)
        for row in rows:
            _advance_one(row, known, now, queue)
    return len(rows)


def _advance_one(row: Enrolment, known: _Known, now: datetime, queue: Queue) -> None:
    """What goes wrong with one is not the others' trouble: they are looked at again later."""
    try:
        with transaction.atomic():
            _carry_out(row, decide(known.facts(row, now)), known, now, queue)
    except Exception:
        logger.exception("An enrolment could not go on.", extra={"enrolment": row.pk})
        Enrolment.objects.filter(pk=row.pk).update(due_at=now + LOOK_AGAIN_AFTER)


def _carry_out(row: Enrolment, decision: Decision, known: _Known, now: datetime, queue: Queue) -> None:
    match decision.what:
        case What.STOP:
            stop_enrolments(enrolments=Enrolment.objects.filter(pk=row.pk), state=decision.state, now=now)
            return
        case What.SEND:
            step = known.rows[decision.step or 0]
            message = queue(contact=row.contact, version=step.template.current, enrolment=row, step=step, is_bulk=True)
            _pass(row, decision, Passing.QUEUED, now)
            if message.state == MessageState.SKIPPED and (end := end_of(stops=False, reason=_skipped(message))):
                stop_enrolments(enrolments=Enrolment.objects.filter(pk=row.pk), state=end, now=now)
                return
        case What.SKIP | What.END if decision.step is not None:
            _pass(row, decision, Passing.SKIPPED, now)
    over = decision.state != EnrolmentState.ACTIVE
    Enrolment.objects.filter(pk=row.pk).update(
        state=decision.state,
        next_step=decision.next_step,
        due_at=None if over else decision.due_at,
        ended_at=now if over else None,
    )


def _pass(row: Enrolment, decision: Decision, outcome: Passing, now: datetime) -> None:
    StepPassage.objects.create(enrolment=row, step_id=decision.step, outcome=outcome, at=now)


def _skipped(message: EmailMessage) -> SkipReason | None:
    return SkipReason(message.skip_reason) if message.skip_reason else None


# --- what is known ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Known:
    """What decides about some enrolments, read in a handful of queries."""

    rows: dict[int, SequenceStep]
    steps: dict[int, list[Step]]  # by sequence
    passed: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))  # by enrolment
    previous: dict[int, Previous] = field(default_factory=dict)
    replied: Collection[int] = ()
    reasons: dict[int, SkipReason | None] = field(default_factory=dict)

    def facts(self, row: Enrolment, now: datetime) -> Facts:
        return Facts(
            now=now,
            due_at=row.due_at or now,
            steps=self.steps.get(row.sequence_id, ()),
            next_step=row.next_step_id,
            passed=self.passed[row.pk],
            previous=self.previous.get(row.pk),
            status=row.contact.status,
            status_before=row.status,
            has_replied=row.pk in self.replied,
            stops_on_reply=row.sequence.stop_on_reply,
            reason=self.reasons[row.pk],
        )


def _gather(rows: Sequence[Enrolment]) -> _Known:
    found = SequenceStep.objects.filter(sequence__in={row.sequence_id for row in rows})
    by_id = {step.pk: step for step in found.select_related("template__current")}
    known = _Known(rows=by_id, steps=defaultdict(list))
    for step in by_id.values():
        known.steps[step.sequence_id].append(_step(step))
    for enrolment, passed in StepPassage.objects.filter(enrolment__in=rows).values_list("enrolment_id", "step_id"):
        known.passed[enrolment].add(passed)
    messages = EmailMessage.objects.filter(enrolment__in=rows, state__in=_COUNTS).order_by("queued_at", "pk")
    for message in messages.values(*_PREVIOUS):
        known.previous[message["enrolment_id"]] = _previous(message)  # the last one stays
    known.replied = replied_among(rows)
    known.reasons = _reasons(rows)
    return known


def _step(step: SequenceStep) -> Step:
    template = step.template
    return Step(
        id=step.pk,
        position=step.position,
        wait_hours=step.wait_hours,
        condition=StepCondition(step.condition),
        status=step.status,
        otherwise=Otherwise(step.otherwise),
        is_removed=step.removed_at is not None,
        can_be_sent=template.is_active and template.deleted_at is None and template.current_id is not None,
    )


_PREVIOUS = ("enrolment_id", "state", "sent_at", "delivered_at", "opened_at", "clicked_at", "track_opens", "track_clicks")


def _previous(message: dict[str, Any]) -> Previous:
    # Of what nobody has told to have arrived, as behind a plain mail server, nothing is known that can be asked about.
    has_arrived = any(message[name] is not None for name in ("delivered_at", "opened_at", "clicked_at"))
    return Previous(
        is_waiting=message["state"] in OPEN_STATES,
        sent_at=message["sent_at"],
        # Whoever clicked has opened it, though nothing told of that.
        is_opened=message["opened_at"] is not None or message["clicked_at"] is not None,
        is_clicked=message["clicked_at"] is not None,
        tells_opens=has_arrived and message["track_opens"],
        tells_clicks=has_arrived and message["track_clicks"],
        tells_replies=bool(settings.ENV.inbound_email_host),
    )


def _reasons(rows: Sequence[Enrolment]) -> dict[int, SkipReason | None]:
    reasons = skip_reasons([(row.contact, row.contact.contact_email) for row in rows])
    return {
        row.pk: SkipReason.GONE if row.contact.deleted_at is not None else reason
        for row, reason in zip(rows, reasons, strict=True)
    }


# --- what nobody told us at once -------------------------------------------------------------------------------------


def sweep_enrolments(*, now: datetime | None = None) -> int:
    """End what should have ended, and keep back what should not go; return how many enrolments ended.

    Whoever learns of a reply or a wish says so at once (`stop_for_contact`); this catches what was lost on the way.
    """
    now = now or timezone.now()
    ended = 0
    with transaction.atomic():
        rows = list(_should_end(now).select_for_update(skip_locked=True, no_key=True, of=("self",))[:SWEPT_AT_ONCE])
        replied = replied_among(row for row in rows if row.sequence.stop_on_reply)
        reasons = _reasons(rows)
        for state in (EnrolmentState.REPLIED, EnrolmentState.UNSUBSCRIBED, EnrolmentState.BLOCKED):
            ids = [row.pk for row in rows if end_of(stops=row.pk in replied, reason=reasons[row.pk]) == state]
            ended += stop_enrolments(enrolments=Enrolment.objects.filter(pk__in=ids), state=state, now=now)
    _cancel_orphans()
    resting = EmailSequence.objects.kept().filter(is_active=False)
    hold_unsent(sequence_ids=list(resting.values_list("pk", flat=True)))
    return ended


def _should_end(now: datetime) -> Any:
    suppressed = Suppression.objects.standing().filter(email_index=OuterRef("contact__email_index"))
    to_this = EmailMessage.objects.filter(
        enrolment=OuterRef("pk"), enrolment__sequence__stop_on_reply=True, replied_at__isnull=False
    )
    gone = Q(contact__deleted_at__lt=now - BINNED_FOR) | Q(contact__email_index="")
    why = gone | Q(contact__do_not_mail_at__isnull=False) | Exists(suppressed) | Exists(to_this)
    return (
        Enrolment.objects.filter(state=EnrolmentState.ACTIVE)
        .filter(why)
        .select_related("contact", "sequence")
        .order_by("pk")
    )


def _cancel_orphans() -> int:
    """Messages in line of enrolments that were cut short: written in the very moment it was."""
    cut_short = Q(enrolment__state__in=CUT_SHORT) | Q(enrolment__sequence__deleted_at__isnull=False)
    waiting = EmailMessage.objects.filter(cut_short, state=MessageState.QUEUED)
    return cancel_unsent(list(waiting.values_list("enrolment_id", flat=True)[:SWEPT_AT_ONCE]))
