"""Background work of billing: ids in, one service call, safe to run twice."""

from __future__ import annotations

import logging

from celery import shared_task

from billing import tallies
from billing.services import alerts, budgets, events, reconciling, reporting, storing
from billing.stripe.client import StripeError, is_configured
from tenants.celery import for_each_tenant, publish
from tenants.context import in_public

logger = logging.getLogger("billing")


@shared_task(name="billing.mail_alert")  # type: ignore[untyped-decorator]
def mail_alert(*, alert_id: int) -> None:
    alerts.send_alert(alert_id=alert_id)


@shared_task(name="billing.sweep_budgets")  # type: ignore[untyped-decorator]
def sweep_budgets() -> None:
    """Levels that nobody noticed when they were reached, and alerts whose task was lost."""
    for_each_tenant(lambda tenant: budgets.tell_levels(tenant=tenant))
    for alert_id in alerts.unmailed():
        publish(mail_alert, alert_id=alert_id)


@shared_task(name="billing.sweep_storage")  # type: ignore[untyped-decorator]
def sweep_storage() -> None:
    for_each_tenant(lambda tenant: storing.meter_storage(tenant=tenant))


@shared_task(name="billing.compact_tallies")  # type: ignore[untyped-decorator]
def compact_tallies() -> None:
    tallies.compact()


@shared_task(name="billing.apply_events")  # type: ignore[untyped-decorator]
def apply_events() -> None:
    """Whatever Stripe has told us of. While it does not answer there is nothing to do but wait for the next time."""
    if not is_configured():
        return
    with in_public():
        while events.apply_waiting() == events.AT_ONCE:
            pass


@shared_task(name="billing.report_use")  # type: ignore[untyped-decorator]
def report_use() -> None:
    if not is_configured():
        return
    with in_public():
        reporting.queue_use()
        try:
            while reporting.send_use() == reporting.AT_ONCE:
                pass
        except StripeError as error:
            logger.warning("Use waits to be reported.", extra={"why": error.code or "unreachable"})


@shared_task(name="billing.compare_use")  # type: ignore[untyped-decorator]
def compare_use() -> None:
    """Once a day: what providers say against what the ledger says, and events that are too old to be kept."""
    with in_public():
        events.forget_old()
        found = reconciling.reconcile_day()
        found += reporting.compare_all() if is_configured() else []
        reconciling.tell_staff(found)
