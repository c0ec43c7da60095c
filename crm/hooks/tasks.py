"""Background work of webhooks: ids in, one service call, safe to run twice."""

from __future__ import annotations

from celery import shared_task

from crm.hooks.services import delivering, sweeping
from tenants.celery import HEADER, for_each_tenant, publish
from tenants.models import Tenant


@shared_task(name="crm_hooks.deliver")  # type: ignore[untyped-decorator]
def deliver(*, endpoint_id: str) -> None:
    """Send what is due for one receiver, for a while; the rest is another task's, behind those of other receivers."""
    comes_back_in = delivering.deliver_due(endpoint_id=endpoint_id)
    if comes_back_in is not None:
        publish(deliver, endpoint_id=endpoint_id, countdown=comes_back_in)


@shared_task(name="crm_hooks.sweep_due")  # type: ignore[untyped-decorator]
def sweep_due() -> None:
    """Retries, and what was left by a killed worker or an absent broker."""

    def sweep(tenant: Tenant) -> None:
        for endpoint_id in sweeping.receivers_with_due():
            publish(deliver, endpoint_id=str(endpoint_id), headers={HEADER: tenant.schema_name})

    for_each_tenant(sweep)


@shared_task(name="crm_hooks.sweep_expired")  # type: ignore[untyped-decorator]
def sweep_expired() -> None:
    for_each_tenant(lambda tenant: sweeping.delete_expired())
