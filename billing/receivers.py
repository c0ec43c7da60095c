"""What billing does when something happens to a tenant."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models.signals import pre_delete
from django.dispatch import receiver

from billing.exporting import lines_of
from billing.models import Account, Budget, LedgerEntry, StripeEvent
from billing.services.subscribing import OVER, begin_trial
from billing.stripe.client import StripeError, installation_client
from tenants import seats
from tenants.models import Tenant
from tenants.signals import tenant_created, tenant_deleted, tenant_exporting

logger = logging.getLogger("billing")


@seats.register
def people_of_the_plan(tenant: Tenant) -> int | None:
    account = Account.objects.select_related("plan").filter(tenant=tenant).exclude(plan=None).first()
    return account.plan.max_users if account is not None and account.plan is not None else None


@receiver(tenant_created)
def prepare(tenant: Tenant, **_: Any) -> None:
    """A budget without limits, whose levels and switches are there to be set; and the trial of the default plan."""
    Budget.objects.create(tenant=tenant, currency=settings.ENV.billing_currency)
    begin_trial(tenant=tenant)


@receiver(tenant_exporting)
def export_ledger(tenant: Tenant, folder: Path, **_: Any) -> None:
    """The ledger is the installation's; what is an organisation's own of it belongs to its copy."""
    with (folder / "ledger.csv").open("w", newline="") as out:
        out.writelines(lines_of(LedgerEntry.objects.filter(tenant=tenant).order_by("pk")))


@receiver(tenant_deleted)
def forget_events(schema: str, **_: Any) -> None:
    StripeEvent.objects.filter(scope=schema).delete()


@receiver(pre_delete, sender=Account)
def end_subscription(instance: Account, **_: Any) -> None:
    """An organisation that is gone is not charged any more. Deleting does not fail because Stripe is away."""
    if not instance.subscription_id or instance.status in OVER:
        return
    try:
        installation_client().cancel_subscription(instance.subscription_id)
    except StripeError:
        told = {"subscription": instance.subscription_id}
        logger.error("The subscription of a deleted organisation was not ended: end it at Stripe.", extra=told)
