"""Sequences: what is in them, whether they run, and who leaves early. Everything here runs inside the tenant."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from crm.email.enums import EnrolmentState, MessageState
from crm.email.models import EmailMessage, EmailTemplate, Enrolment, SequenceStep
from crm.email.models import Sequence as EmailSequence
from crm.email.steps import Draft, Fault, arranged, faults_of
from crm.enums import InteractionKind, Status
from crm.hooks.enums import Event
from crm.hooks.services.emitting import emit_many
from crm.models import Interaction
from crm.services.payloads import interaction_payload
from tenants import audit
from tenants.celery import publish
from tenants.context import current_tenant
from tenants.enums import AuditAction
from tenants.models import User

MAX_STEPS = 30
# While a sequence does not run, what it has written and nobody has sent yet is due at the end of time.
HELD = datetime(9999, 1, 1, tzinfo=UTC)


class SequenceError(ValueError):
    """A sequence cannot be like that; the text is for the person who asked. `faults` are those of single steps."""

    def __init__(self, message: str, *, field: str = "", faults: Sequence[Fault] = ()) -> None:
        super().__init__(message)
        self.field = field
        self.faults = faults


def save_sequence(
    *,
    sequence: EmailSequence | None,
    name: str,
    is_active: bool,
    drafts: Sequence[Draft],
    by: User | None,
    stop_on_reply: bool = True,
    version: int | None = None,
    now: datetime | None = None,
) -> EmailSequence:
    """Write a sequence with its steps in order, and return it. Raises SequenceError; nothing is written then.

    `version` is the one that was looked at: when somebody saved meanwhile, theirs is not overwritten. People on their
    way go on from where they stand: a step that was taken out is passed over, nothing queued changes.
    """
    _check(name, is_active, drafts)
    now = now or timezone.now()
    with transaction.atomic():
        if sequence is None:
            sequence = EmailSequence.objects.create(name=name.strip())
        current = _locked(sequence)
        if version is not None and current.version != version:
            raise SequenceError("Somebody changed this sequence meanwhile. Look at it again, then make your change.")
        _write_steps(current, drafts, now)
        was_active, current.name, current.is_active = current.is_active, name.strip(), is_active
        current.stop_on_reply = stop_on_reply
        current.version += 1
        current.save()
        if was_active != is_active:
            _start_or_hold(current)
        _record(current, "saved" if was_active == is_active else "switched on" if is_active else "switched off", by)
    return current


def _check(name: str, is_active: bool, drafts: Sequence[Draft]) -> None:
    if not name.strip() or len(name.strip()) > 120:
        raise SequenceError("Give it a name of at most 120 characters.", field="name")
    if len(drafts) > MAX_STEPS:
        raise SequenceError(f"A sequence has at most {MAX_STEPS} steps.")
    if is_active and not drafts:
        raise SequenceError("Write at least one step before it is switched on.", field="is_active")
    templates = set(EmailTemplate.objects.usable().values_list("pk", flat=True))
    if faults := faults_of(drafts, templates=templates, statuses=Status.values):
        raise SequenceError(faults[0].text, faults=faults)


def _locked(sequence: EmailSequence) -> EmailSequence:
    found: EmailSequence | None = EmailSequence.objects.kept().select_for_update(no_key=True).filter(pk=sequence.pk).first()
    if found is None:
        raise SequenceError("This sequence is gone.")
    return found


def _write_steps(sequence: EmailSequence, drafts: Sequence[Draft], now: datetime) -> None:
    before = {step.pk: step for step in SequenceStep.objects.filter(sequence=sequence).order_by("position", "pk")}
    standing = {pk: step for pk, step in before.items() if step.removed_at is None}
    kept = [draft.id for draft in drafts if draft.id is not None]
    if len(set(kept)) < len(kept) or not set(kept) <= set(standing):
        raise SequenceError("One of the steps is gone meanwhile. Look at the sequence again.")
    SequenceStep.objects.filter(pk__in=set(standing) - set(kept)).update(removed_at=now)
    order = [_write_step(sequence, standing.get(draft.id or 0), draft).pk for draft in drafts]
    steps = SequenceStep.objects.in_bulk(arranged(list(before), order))
    for position, pk in enumerate(arranged(list(before), order), start=1):
        steps[pk].position = position
    SequenceStep.objects.bulk_update(steps.values(), ["position"])


def _write_step(sequence: EmailSequence, step: SequenceStep | None, draft: Draft) -> SequenceStep:
    step = step or SequenceStep(sequence=sequence, position=0)
    step.template_id, step.wait_hours = draft.template_id, draft.wait_hours
    step.condition, step.status, step.otherwise = draft.condition, draft.status, draft.otherwise
    step.save()
    return step


def switch_sequence(*, sequence: EmailSequence, is_active: bool, by: User | None) -> bool:
    """Have a sequence run, or rest; False when it is so already. Raises SequenceError.

    While it rests, dates stay as they are; afterwards what is overdue goes as fast as the limits allow.
    """
    with transaction.atomic():
        current = _locked(sequence)
        if current.is_active == is_active:
            return False
        if is_active and not current.steps.filter(removed_at=None).exists():
            raise SequenceError("Write at least one step before it is switched on.")
        current.is_active = is_active
        current.version += 1
        current.save()
        _start_or_hold(current)
        _record(current, "switched on" if is_active else "switched off", by)
    return True


def _start_or_hold(sequence: EmailSequence) -> None:
    if sequence.is_active:
        held = EmailMessage.objects.filter(enrolment__sequence=sequence, state=MessageState.QUEUED, not_before=HELD)
        held.update(not_before=timezone.now())
        advance_soon()
    else:
        hold_unsent(sequence_ids=[sequence.pk])


def hold_unsent(*, sequence_ids: Collection[int]) -> int:
    """Keep back what sequences have written and nobody has begun to send."""
    waiting = EmailMessage.objects.filter(enrolment__sequence__in=sequence_ids, state=MessageState.QUEUED)
    return int(waiting.exclude(not_before=HELD).update(not_before=HELD))


def advance_soon() -> None:
    from crm.email.tasks.sequences import advance_sequences

    transaction.on_commit(lambda: publish(advance_sequences))


def delete_sequence(*, sequence: EmailSequence, by: User | None) -> None:
    """End a sequence for everybody in it. What was sent stays on the contacts' timelines. Raises SequenceError."""
    with transaction.atomic():
        current = _locked(sequence)
        EmailSequence.objects.filter(pk=current.pk).update(deleted_at=timezone.now(), is_active=False)
        stop_enrolments(enrolments=Enrolment.objects.filter(sequence=current), state=EnrolmentState.STOPPED)
        cancel_unsent(Enrolment.objects.filter(sequence=current).values("pk"))
        _record(current, "deleted", by)


def _record(sequence: EmailSequence, what: str, by: User | None) -> None:
    target = f"{what}: {sequence.name}"
    audit.record(AuditAction.SEQUENCE_CHANGED, tenant=current_tenant(), actor=by, target=target)


# --- leaving early ---------------------------------------------------------------------------------------------------


def stop_for_contact(*, contact_id: int, reason: EnrolmentState, now: datetime | None = None) -> int:
    """End all a contact is on the way through, and cancel what is not on its way yet; return how many ended.

    `reason` is how it ended: REPLIED, UNSUBSCRIBED, BLOCKED or STOPPED. An answer ends only the sequences that say so.
    Safe to repeat.
    """
    theirs = Enrolment.objects.filter(contact=contact_id)
    if reason == EnrolmentState.REPLIED:
        theirs = theirs.filter(sequence__stop_on_reply=True)
    with transaction.atomic():
        stopped = stop_enrolments(enrolments=theirs, state=reason, now=now)
        cancel_unsent(theirs.values("pk"))
    return stopped


def stop_enrolments(*, enrolments: Any, state: EnrolmentState, now: datetime | None = None) -> int:
    """End those of these enrolments that are running; return how many. Their unsent messages are cancelled."""
    now = now or timezone.now()
    with transaction.atomic():
        running = enrolments.filter(state=EnrolmentState.ACTIVE).select_for_update(of=("self",)).order_by("pk")
        ids = list(running.values_list("pk", flat=True))
        Enrolment.objects.filter(pk__in=ids).update(state=state, ended_at=now, due_at=None)
        cancel_unsent(ids)
        if state == EnrolmentState.REPLIED:
            write_notes(ids, "replied", "Replied: the sequence “{}” ends", now=now)
    return len(ids)


def cancel_unsent(enrolment_ids: Any) -> int:
    """Cancel what these enrolments have in line. What a worker has taken already goes out."""
    waiting = EmailMessage.objects.filter(enrolment__in=enrolment_ids, state=MessageState.QUEUED)
    return int(waiting.update(state=MessageState.CANCELED))


def write_notes(
    enrolment_ids: Iterable[int], what: str, subject: str, *, now: datetime, by: User | None = None, content: str = ""
) -> None:
    """Put a note about each enrolment on its contact's timeline, once for each `what`. Inside a transaction."""
    rows = Enrolment.objects.filter(pk__in=list(enrolment_ids)).select_related("sequence").order_by("contact_id")
    notes = [
        Interaction(
            contact_id=row.contact_id,
            kind=InteractionKind.NOTE,
            subject=subject.format(row.sequence.name)[:200],
            content=content,
            user=by,
            interaction_date=now,
            metadata={"sequence": row.sequence_id},
            natural_key=f"sequence:{row.pk}:{what}",
        )
        for row in rows
    ]
    Interaction.objects.bulk_create(notes, ignore_conflicts=True)  # ours are written once: by the enrolment's lock
    written = Interaction.objects.filter(natural_key__in=[note.natural_key for note in notes])
    emit_many(
        event=Event.INTERACTION_ADDED,
        items=((interaction_payload(note), f"interaction:{note.pk}") for note in written.iterator(chunk_size=500)),
    )
