"""News of messages, and answers to them, in the background."""

from __future__ import annotations

from celery import shared_task

from crm.email.services import applying
from tenants.celery import HEADER, for_each_tenant, publish
from tenants.models import Tenant


@shared_task(name="crm_email.apply_events")  # type: ignore[untyped-decorator]
def apply_events() -> None:
    if applying.apply_events():
        publish(apply_events)


@shared_task(name="crm_email.sweep_events")  # type: ignore[untyped-decorator]
def sweep_events() -> None:
    """News whose task was lost, or failed, is applied."""

    def sweep(tenant: Tenant) -> None:
        if applying.is_behind():
            publish(apply_events, headers={HEADER: tenant.schema_name})

    for_each_tenant(sweep)
