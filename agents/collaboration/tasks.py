from __future__ import annotations

from celery import shared_task

from agents.collaboration.services import auditing
from tenants.celery import for_each_tenant


@shared_task(name="agents_collaboration.sweep")  # type: ignore[untyped-decorator]
def sweep() -> None:
    for_each_tenant(lambda tenant: auditing.close_abandoned())
