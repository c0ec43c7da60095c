from __future__ import annotations

from celery import shared_task

from crm.payments.services import events
from tenants.celery import for_each_tenant


@shared_task(name="crm_payments.apply_events")  # type: ignore[untyped-decorator]
def apply_events() -> None:
    events.apply_waiting()


@shared_task(name="crm_payments.sweep_events")  # type: ignore[untyped-decorator]
def sweep_events() -> None:
    """What a lost task has left, and what waits for a Stripe that was away."""
    for_each_tenant(lambda tenant: events.apply_waiting())
