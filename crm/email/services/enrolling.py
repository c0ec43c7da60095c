"""Contacts are put on their way through a sequence: one, or everything a list shows, in pieces.

Each piece is one transaction together with how far it came (as in `crm.services.jobs`), so that a killed worker loses
nothing and does nothing twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import DataError, transaction
from django.db.models import Max, QuerySet
from django.http import QueryDict
from django.utils import timezone

from crm.email.enums import SkipReason
from crm.email.models import Enrolment, SequenceStep
from crm.email.models import Sequence as EmailSequence
from crm.email.models.sequences import EnrolJob, LeftOut
from crm.email.services.sequences import advance_soon, write_notes
from crm.email.services.suppressing import skip_reasons
from crm.enums import JobState
from crm.models import Contact
from crm.selectors.contacts import FilterError, contacts_for
from tenants import audit
from tenants.celery import publish
from tenants.context import current_tenant
from tenants.enums import AuditAction
from tenants.models import User

logger = logging.getLogger("crm")

CHUNK = 500
STEP_S = 20.0  # then the task hands on to the next one, so that one job does not keep a worker for itself
SILENT_AFTER = timedelta(seconds=60)
KEPT_FOR = timedelta(days=30)
LATEST_START = timedelta(days=365)
_NO_STEPS = "This sequence has no steps yet. Write at least one first."


class EnrolError(ValueError):
    """Nobody can be enrolled like that; the text is for the person who asked."""


def enrol_contact(
    *,
    sequence: EmailSequence,
    contact: Contact,
    by: User | None,
    start_at: datetime | None = None,
    now: datetime | None = None,
) -> Enrolment:
    """Put one contact on its way. Raises EnrolError: been here before, cannot be written to, nothing to send."""
    now = now or timezone.now()
    _check_start(start_at, now)
    with transaction.atomic():
        first = _first_step(sequence)
        locked = Contact.objects.live().select_for_update(no_key=True).filter(pk=contact.pk).first()
        if locked is None:
            raise EnrolError("This contact is gone.")
        found = _sort([locked], first.sequence_id)
        if found.known:
            raise EnrolError("This contact was enrolled before. Nobody goes through a sequence twice.")
        if found.left_out:
            raise EnrolError(f"This contact cannot be enrolled: {found.left_out[0][1].label.lower()}.")
        [enrolment] = _insert(first, [locked], start_at=start_at, by=by, now=now)
        advance_soon()
    return enrolment


def _check_start(start_at: datetime | None, now: datetime) -> None:
    if start_at is not None and start_at > now + LATEST_START:
        raise EnrolError("Begin within a year.")


def _first_step(sequence: EmailSequence) -> SequenceStep:
    """Return where people begin. The sequence is held until the transaction ends: its steps, and who else enrols."""
    if not EmailSequence.objects.kept().select_for_update(no_key=True).filter(pk=sequence.pk).exists():
        raise EnrolError("This sequence is gone.")
    first: SequenceStep | None = SequenceStep.objects.standing().filter(sequence=sequence).order_by("position").first()
    if first is None:
        raise EnrolError(_NO_STEPS)
    return first


class _Sorted:
    """What a piece of a selection comes to."""

    def __init__(self) -> None:
        self.new: list[Contact] = []
        self.known: list[Contact] = []
        self.left_out: list[tuple[Contact, SkipReason]] = []


def _sort(contacts: Sequence[Contact], sequence_id: int) -> _Sorted:
    enrolled = Enrolment.objects.filter(sequence=sequence_id)
    known = set(enrolled.filter(contact__in=contacts).values_list("contact_id", flat=True))
    indexes = {contact.email_index for contact in contacts if contact.email_index}
    taken = set(enrolled.filter(contact__email_index__in=indexes).values_list("contact__email_index", flat=True))
    reasons = skip_reasons([(contact, contact.contact_email) for contact in contacts])
    found = _Sorted()
    for contact, reason in zip(contacts, reasons, strict=True):
        if contact.pk in known:
            found.known.append(contact)
        elif reason is not None:
            found.left_out.append((contact, reason))
        elif contact.email_index in taken:  # two contacts with one inbox: it would get everything twice
            found.left_out.append((contact, SkipReason.SAME_ADDRESS))
        else:
            taken.add(contact.email_index)
            found.new.append(contact)
    return found


def _insert(
    first: SequenceStep, contacts: Sequence[Contact], *, start_at: datetime | None, by: User | None, now: datetime
) -> list[Enrolment]:
    due_at = max(start_at or now, now) + timedelta(hours=first.wait_hours)
    rows: list[Enrolment] = Enrolment.objects.bulk_create(
        Enrolment(
            sequence_id=first.sequence_id,
            contact=contact,
            status=contact.status,
            next_step=first,
            due_at=due_at,
            enrolled_by=by,
            enrolled_at=now,
        )
        for contact in contacts
    )
    write_notes([row.pk for row in rows], "enrolled", "Enrolled in the sequence “{}”", now=now, by=by)
    return rows


# --- many ------------------------------------------------------------------------------------------------------------


def start_enrol_job(
    *,
    sequence: EmailSequence,
    ids: Sequence[int] | None,
    query: str,
    by: User | None,
    start_at: datetime | None = None,
    now: datetime | None = None,
) -> EnrolJob:
    """Begin to enrol the contacts named, or all that a list's address shows. Raises EnrolError, FilterError."""
    _check_start(start_at, now or timezone.now())
    if ids is not None and not ids:
        raise EnrolError("Choose at least one contact.")
    if len(query) > EnrolJob._meta.get_field("query").max_length:  # type: ignore[operator]
        raise EnrolError("These are too many conditions at once.")
    if ids is None:  # what is not understood would mean more contacts than were shown
        contacts_for(QueryDict(query), tenant=current_tenant(), user=by, strict=True)
    newest = Contact.objects.aggregate(newest=Max("pk"))["newest"] or 0
    with transaction.atomic():
        _first_step(sequence)
        job: EnrolJob = EnrolJob.objects.create(
            sequence=sequence,
            contact_ids=sorted(set(ids)) if ids is not None else None,
            query=query if ids is None else "",
            newest=newest,
            start_at=start_at,
            user=by,
        )
        audit.record(
            AuditAction.SEQUENCE_CHANGED, tenant=current_tenant(), actor=by, target=f"enrolling many: {sequence.name}"
        )
        _publish_later(job)
    return job


def run_enrol_job(*, job_id: int, step_s: float = STEP_S, now: datetime | None = None) -> bool:
    """Carry a job on for a while; return whether more is to be done. Safe to run twice, also at once."""
    until = time.monotonic() + step_s
    while True:
        try:
            more = _run_piece(job_id, now or timezone.now())
        except (EnrolError, FilterError, DataError) as error:  # it would be the same another time
            logger.exception("Contacts could not be enrolled.", extra={"job": job_id})
            why = str(error) if isinstance(error, EnrolError | FilterError) else "The database refused it."
            EnrolJob.objects.filter(pk=job_id).update(state=JobState.FAILED, error=why[:200], finished_at=timezone.now())
            return False
        if not more:
            return False
        if time.monotonic() > until:
            return True


def _run_piece(job_id: int, now: datetime) -> bool:
    with transaction.atomic():
        # The row is the lock: of two workers one waits, and goes on where the other stopped.
        job = EnrolJob.objects.select_for_update(of=("self",)).select_related("sequence", "user").get(pk=job_id)
        if not job.is_running:
            return False
        if job.total is None:
            job.total, job.state = _selection(job, after=0).count(), JobState.RUNNING
        first = _first_step(job.sequence)
        waiting = _selection(job, after=job.cursor).order_by("pk").select_for_update(no_key=True, of=("self",))
        contacts = list(waiting[:CHUNK])
        _enrol_piece(job, first, contacts, now)
        job.touched_at = now
        if contacts:
            job.cursor = contacts[-1].pk
        else:
            job.state, job.finished_at = JobState.DONE, now
            advance_soon()
        job.save()
    return bool(contacts)


def _enrol_piece(job: EnrolJob, first: SequenceStep, contacts: Sequence[Contact], now: datetime) -> None:
    found = _sort(contacts, job.sequence_id)
    _insert(first, found.new, start_at=job.start_at, by=job.user, now=now)
    LeftOut.objects.bulk_create(LeftOut(job=job, contact=contact, reason=reason) for contact, reason in found.left_out)
    job.enrolled += len(found.new)
    job.known += len(found.known)


def _selection(job: EnrolJob, *, after: int) -> QuerySet[Contact]:
    contacts: Any
    if job.contact_ids is not None:
        contacts = Contact.objects.live().filter(pk__in=job.contact_ids)
    else:
        contacts = contacts_for(QueryDict(job.query), tenant=current_tenant(), user=job.user, strict=True)
    return contacts.filter(pk__gt=after, pk__lte=job.newest)  # type: ignore[no-any-return]


def cancel_enrol_job(*, job: EnrolJob) -> bool:
    """Stop a job where it is: whom it has enrolled stays so. False when it is over already."""
    running = EnrolJob.objects.filter(pk=job.pk, state__in=(JobState.QUEUED, JobState.RUNNING))
    return bool(running.update(state=JobState.CANCELED, finished_at=timezone.now()))


def lost_enrol_jobs(*, now: datetime | None = None) -> list[int]:
    """Return jobs whose worker has gone silent, each to one caller only."""
    now = now or timezone.now()
    silent = EnrolJob.objects.filter(state__in=(JobState.QUEUED, JobState.RUNNING), touched_at__lt=now - SILENT_AFTER)
    return [pk for pk in silent.values_list("pk", flat=True) if silent.filter(pk=pk).update(touched_at=now)]


def forget_old_enrol_jobs(*, now: datetime | None = None) -> int:
    """Delete jobs of a month ago, with the lists of who was left out; return how many."""
    old = EnrolJob.objects.filter(finished_at__lt=(now or timezone.now()) - KEPT_FOR)
    return int(old.delete()[1].get("crm_email.EnrolJob", 0))


def _publish_later(job: EnrolJob) -> None:
    from crm.email.tasks.sequences import enrol_contacts

    transaction.on_commit(lambda: publish(enrol_contacts, job_id=job.pk))
