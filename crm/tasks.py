"""Background work: ids in, one service call, safe to run twice."""

from __future__ import annotations

from celery import shared_task

from crm import tallies
from crm.models import Contact, CustomField
from crm.services import fields, jobs, purging, reindexing, reminders, scoring
from tenants.celery import HEADER, for_each_tenant, publish
from tenants.models import Tenant


@shared_task(name="crm.run_contact_job")  # type: ignore[untyped-decorator]
def run_contact_job(*, job_id: int) -> None:
    if jobs.run_job(job_id=job_id):
        publish(run_contact_job, job_id=job_id)


@shared_task(name="crm.score_contacts")  # type: ignore[untyped-decorator]
def score_contacts(*, ids: list[int]) -> None:
    for start in range(0, len(ids), scoring.BATCH):
        scoring.score_contacts(ids=ids[start : start + scoring.BATCH])


@shared_task(name="crm.score_everybody")  # type: ignore[untyped-decorator]
def score_everybody(*, after: int = 0, only_new: bool = False) -> None:
    last = scoring.score_everybody(after=after, only_new=only_new)
    if last is not None:
        publish(score_everybody, after=last, only_new=only_new)


@shared_task(name="crm.index_custom_field")  # type: ignore[untyped-decorator]
def index_custom_field(*, field_id: int) -> None:
    field = CustomField.objects.filter(pk=field_id).first()
    if field is not None and not fields.index_field(field=field):
        publish(index_custom_field, field_id=field_id, countdown=3)


@shared_task(name="crm.index_parts")  # type: ignore[untyped-decorator]
def index_parts() -> None:
    if reindexing.index_parts():
        publish(index_parts)


@shared_task(name="crm.sweep_reminders")  # type: ignore[untyped-decorator]
def sweep_reminders() -> None:
    for_each_tenant(lambda tenant: reminders.send_reminders(tenant=tenant))


@shared_task(name="crm.sweep_jobs")  # type: ignore[untyped-decorator]
def sweep_jobs() -> None:
    """What a killed worker left goes on: jobs, indexes of fields, first scores. Running totals are folded."""

    def sweep(tenant: Tenant) -> None:
        headers = {HEADER: tenant.schema_name}
        for job_id in jobs.lost_jobs():
            publish(run_contact_job, job_id=job_id, headers=headers)
        for field_id in fields.fields_without_index():
            publish(index_custom_field, field_id=field_id, headers=headers)
        if scoring.somebody_is_new():
            publish(score_everybody, only_new=True, headers=headers)
        if Contact.objects.filter(parts_version=0).exists():
            publish(index_parts, headers=headers)
        tallies.compact()

    for_each_tenant(sweep)


@shared_task(name="crm.sweep_nightly")  # type: ignore[untyped-decorator]
def sweep_nightly() -> None:
    """Rules about time need a look at everybody once a day; the bin is emptied of what is old."""

    def sweep(tenant: Tenant) -> None:
        publish(score_everybody, headers={HEADER: tenant.schema_name})
        purging.empty_bin()

    for_each_tenant(sweep)
