"""One change to many contacts: carried out in pieces, each in its own transaction together with how far it came.

So a killed worker loses nothing and does nothing twice, progress can be watched, and what was done can be taken back.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db import DataError, transaction
from django.db.models import F, Max, QuerySet
from django.http import QueryDict
from django.utils import timezone

from crm.enums import JobKind, JobState, Status
from crm.hooks.enums import Event
from crm.hooks.services.emitting import emit_many
from crm.models import Contact, ContactChange, ContactJob
from crm.selectors.contacts import FilterError, contacts_for
from crm.services.contacts import remember_tags
from crm.services.payloads import contact_payload
from crm.services.scoring import rescore_later
from crm.services.snapshots import dump, is_unchanged, load
from tenants.celery import publish
from tenants.context import current_tenant
from tenants.models import User

logger = logging.getLogger("crm")

CHUNK = 500
STEP_S = 20.0  # then the task hands on to the next one, so that one job does not keep a worker for itself
SILENT_AFTER = timedelta(seconds=60)
KEPT_FOR = timedelta(days=30)
_COLUMNS = {
    JobKind.SET_STATUS: "status",
    JobKind.SET_OWNER: "owner_id",
    JobKind.ADD_TAGS: "tags",
    JobKind.REMOVE_TAGS: "tags",
    JobKind.DELETE: "deleted_at",
}


class JobError(ValueError):
    """What was asked for makes no sense; the text is for the person who asked."""


def start_job(
    *, kind: JobKind, parameters: dict[str, Any], ids: Sequence[int] | None, query: str, user: User | None
) -> ContactJob:
    """Begin to change the contacts named, or all that a list's address shows at this moment. Raises JobError."""
    _check(kind, parameters, ids, query)
    newest = Contact.objects.aggregate(newest=Max("pk"))["newest"] or 0
    job = ContactJob.objects.create(
        kind=kind,
        parameters={**parameters, "newest": newest},
        contact_ids=sorted(set(ids)) if ids is not None else None,
        query=query if ids is None else "",
        user=user,
    )
    if kind == JobKind.ADD_TAGS:
        remember_tags(parameters["tags"])
    _publish_later(job)
    return job


def _check(kind: JobKind, parameters: dict[str, Any], ids: Sequence[int] | None, query: str) -> None:
    if ids is not None and not ids:
        raise JobError("Choose at least one contact.")
    if len(query) > ContactJob._meta.get_field("query").max_length:  # type: ignore[operator]
        raise JobError("These are too many conditions at once.")
    if ids is None:  # what is not understood would mean more contacts than were shown
        contacts_for(QueryDict(query), tenant=current_tenant(), user=None, strict=True)
    if kind == JobKind.SET_STATUS and parameters.get("status") not in Status.values:
        raise JobError("Choose a status.")
    if kind in (JobKind.ADD_TAGS, JobKind.REMOVE_TAGS):
        tags = parameters.get("tags") or []
        if not tags or any(len(tag) > 60 for tag in tags):
            raise JobError("Write at least one tag, of at most 60 characters.")
    if kind == JobKind.SET_OWNER and "owner" not in parameters:
        raise JobError("Choose an owner.")


def run_job(*, job_id: int, step_s: float = STEP_S) -> bool:
    """Carry a job on for a while; return whether more is to be done. Safe to run twice, also at once."""
    until = time.monotonic() + step_s
    while True:
        try:
            more = _run_piece(job_id)
        except (JobError, FilterError, DataError) as error:  # it would be the same another time
            logger.exception("A job on contacts has failed.", extra={"job": job_id})
            why = str(error) if isinstance(error, JobError | FilterError) else "The database refused the change."
            ContactJob.objects.filter(pk=job_id).update(state=JobState.FAILED, error=why[:200], finished_at=timezone.now())
            return False
        if not more:
            return False
        if time.monotonic() > until:
            return True


def _run_piece(job_id: int) -> bool:
    with transaction.atomic():
        # The row is the lock: of two workers one waits, and goes on where the other stopped.
        job = ContactJob.objects.select_for_update().get(pk=job_id)
        if not job.is_running:
            return False
        return _undo_chunk(job) if job.state == JobState.UNDOING else _do_chunk(job)


def _do_chunk(job: ContactJob) -> bool:
    if job.total is None:
        job.total = _selection(job, after=0).count()
        job.state = JobState.RUNNING
    contacts = list(_selection(job, after=job.cursor).order_by("pk").select_for_update(of=("self",))[:CHUNK])
    changed = _change(job, contacts)
    job.done += changed
    job.skipped += len(contacts) - changed
    return _note_progress(job, contacts[-1].pk if contacts else None, JobState.DONE)


def _note_progress(job: ContactJob, last: int | None, then: JobState) -> bool:
    now = timezone.now()
    if last is None:
        job.state, job.finished_at = then, now
    else:
        job.cursor = last
    job.touched_at = now
    job.save()
    return last is not None


def _selection(job: ContactJob, *, after: int) -> QuerySet[Contact]:
    contacts: Any
    if job.contact_ids is not None:
        contacts = Contact.objects.live().filter(pk__in=job.contact_ids)
    else:
        contacts = contacts_for(QueryDict(job.query), tenant=current_tenant(), user=job.user, strict=True)
    return contacts.filter(pk__gt=after, pk__lte=job.parameters["newest"])  # type: ignore[no-any-return]


def _change(job: ContactJob, contacts: Sequence[Contact]) -> int:
    """Change a piece of the selection, and keep how it was; return how many were changed at all."""
    column = _COLUMNS[JobKind(job.kind)]
    wanted = {contact.pk: _wanted(job, contact) for contact in contacts}
    changing = [contact for contact in contacts if getattr(contact, column) != wanted[contact.pk]]
    ContactChange.objects.bulk_create(
        ContactChange(job=job, contact_id=contact.pk, before=dump(contact, [column]), version=contact.version + 1)  # type: ignore[misc]
        for contact in changing
    )
    now = timezone.now()
    for contact in changing:
        setattr(contact, column, wanted[contact.pk])
        contact.version += 1
        contact.updated_at = now
    Contact.objects.bulk_update(changing, [column.removesuffix("_id"), "version", "updated_at"])
    event = Event.CONTACT_DELETED if job.kind == JobKind.DELETE else Event.CONTACT_CHANGED
    emit_many(
        event=event, items=((contact_payload(contact), f"contact:{contact.pk}:{contact.version}") for contact in changing)
    )
    rescore_later([contact.pk for contact in changing])
    return len(changing)


def _wanted(job: ContactJob, contact: Contact) -> Any:
    tags = job.parameters.get("tags", [])
    match JobKind(job.kind):
        case JobKind.SET_STATUS:
            return job.parameters["status"]
        case JobKind.SET_OWNER:
            return job.parameters["owner"]
        case JobKind.ADD_TAGS:
            return [*contact.tags, *(tag for tag in tags if tag not in contact.tags)]
        case JobKind.REMOVE_TAGS:
            return [tag for tag in contact.tags if tag not in tags]
        case JobKind.DELETE:
            return job.created_at


def cancel_job(*, job: ContactJob) -> bool:
    """Stop a job where it is; what it did can be undone. False when it is over already."""
    waiting = ContactJob.objects.filter(pk=job.pk, state__in=(JobState.QUEUED, JobState.RUNNING))
    return bool(waiting.update(state=JobState.CANCELED, finished_at=timezone.now()))


def undo_job(*, job: ContactJob) -> bool:
    """Begin to take a job back; False when it is not over, or is being undone already."""
    over = ContactJob.objects.filter(pk=job.pk, state__in=(JobState.DONE, JobState.CANCELED), done__gt=0)
    begun = over.update(
        state=JobState.UNDOING, cursor=0, total=F("done"), done=0, skipped=0, finished_at=None, touched_at=timezone.now()
    )
    if begun:
        _publish_later(job)
    return bool(begun)


def _undo_chunk(job: ContactJob) -> bool:
    changes = list(job.changes.filter(contact_id__gt=job.cursor).order_by("contact_id")[:CHUNK])
    rows = Contact.objects.select_for_update().filter(pk__in=[change.contact_id for change in changes]).order_by("pk")
    contacts = {contact.pk: contact for contact in rows}
    restored = [change for change in changes if _restore(job, contacts.get(change.contact_id), change)]
    job.done += len(restored)
    job.skipped += len(changes) - len(restored)
    _tell_restored(job, [change.contact_id for change in restored])
    rescore_later([change.contact_id for change in restored])
    return _note_progress(job, changes[-1].contact_id if changes else None, JobState.UNDONE)


def _tell_restored(job: ContactJob, ids: Sequence[int]) -> None:
    event = Event.CONTACT_CREATED if job.kind == JobKind.DELETE else Event.CONTACT_CHANGED
    rows = Contact.objects.filter(pk__in=ids).iterator(chunk_size=CHUNK)
    emit_many(
        event=event, items=((contact_payload(contact), f"contact:{contact.pk}:{contact.version}") for contact in rows)
    )


def _restore(job: ContactJob, contact: Contact | None, change: ContactChange) -> bool:
    """Put back what the job changed, unless somebody has changed the very same thing since."""
    if contact is None or contact.merged_into_id is not None:
        return False
    column = _COLUMNS[JobKind(job.kind)]
    if contact.version != change.version and not _still_ours(job, contact, change, column):
        return False
    Contact.objects.filter(pk=contact.pk).update(
        **load(change.before or {}), version=F("version") + 1, updated_at=timezone.now()
    )
    return True


def _still_ours(job: ContactJob, contact: Contact, change: ContactChange, column: str) -> bool:
    before = Contact(**load(change.before or {}))
    return is_unchanged(contact, column, dump_value(_wanted(job, before), column))


def dump_value(value: Any, column: str) -> Any:
    return dump(Contact(**{column: value}), [column])[column]


def lost_jobs() -> list[int]:
    """Return jobs whose worker has gone silent, each to one caller only."""
    quiet = timezone.now() - SILENT_AFTER
    states = (JobState.QUEUED, JobState.RUNNING, JobState.UNDOING)
    found = ContactJob.objects.filter(state__in=states, touched_at__lt=quiet)
    return [
        pk
        for pk in found.values_list("pk", flat=True)
        if ContactJob.objects.filter(pk=pk, touched_at__lt=quiet).update(touched_at=timezone.now())
    ]


def forget_old_jobs() -> None:
    ContactJob.objects.filter(created_at__lt=timezone.now() - KEPT_FOR).delete()


def _publish_later(job: ContactJob) -> None:
    from crm.tasks import run_contact_job

    transaction.on_commit(lambda: publish(run_contact_job, job_id=job.pk))
