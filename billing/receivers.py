"""What billing does when something happens to a tenant."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.dispatch import receiver

from billing.models import Account, Budget
from billing.services.subscribing import begin_trial
from tenants import seats
from tenants.models import Tenant
from tenants.signals import tenant_created


@seats.register
def people_of_the_plan(tenant: Tenant) -> int | None:
    account = Account.objects.select_related("plan").filter(tenant=tenant).exclude(plan=None).first()
    return account.plan.max_users if account is not None and account.plan is not None else None


@receiver(tenant_created)
def prepare(tenant: Tenant, **_: Any) -> None:
    """A budget without limits, whose levels and switches are there to be set; and the trial of the default plan."""
    Budget.objects.create(tenant=tenant, currency=settings.ENV.billing_currency)
    begin_trial(tenant=tenant)
