"""Background work of sequences. One of an organisation that is switched off stands still."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from crm.email.services import advancing, enrolling
from tenants.celery import HEADER, for_each_tenant, publish
from tenants.context import current_tenant
from tenants.models import Tenant


@shared_task(name="crm_email.advance_sequences")  # type: ignore[untyped-decorator]
def advance_sequences() -> None:
    if current_tenant().is_active and advancing.advance_due():
        publish(advance_sequences)


@shared_task(name="crm_email.enrol_contacts")  # type: ignore[untyped-decorator]
def enrol_contacts(*, job_id: int) -> None:
    if enrolling.run_enrol_job(job_id=job_id):
        publish(enrol_contacts, job_id=job_id)


@shared_task(name="crm_email.sweep_sequences")  # type: ignore[untyped-decorator]
def sweep_sequences() -> None:
    """Wake organisations where a step is due, and carry on what a killed worker left."""

    def sweep(tenant: Tenant) -> None:
        if not tenant.is_active:
            return
        headers = {HEADER: tenant.schema_name}
        if advancing.due_now(timezone.now()).exists():
            publish(advance_sequences, headers=headers)
        for job_id in enrolling.lost_enrol_jobs():
            publish(enrol_contacts, job_id=job_id, headers=headers)

    for_each_tenant(sweep)


@shared_task(name="crm_email.sweep_enrolments")  # type: ignore[untyped-decorator]
def sweep_enrolments() -> None:
    """End what should have ended, whoever failed to say so; forget old jobs."""

    def sweep(_: Tenant) -> None:
        advancing.sweep_enrolments()
        enrolling.forget_old_enrol_jobs()

    for_each_tenant(sweep)
