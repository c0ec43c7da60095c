"""Background work of sending domains: ids in, one service call, safe to run twice."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from crm.email.services import domainloss, domainorphans, domains, domainsteps
from tenants.celery import HEADER, PUBLIC, for_each_tenant, publish
from tenants.context import current_tenant, in_public
from tenants.models import Tenant


@shared_task(name="crm_email.check_domain")  # type: ignore[untyped-decorator]
def check_domain(*, domain_id: int) -> None:
    """Register, check or remove one: whatever is due."""
    domainsteps.carry_on(domain_id=domain_id)


@shared_task(name="crm_email.tell_domain_lost")  # type: ignore[untyped-decorator]
def tell_domain_lost() -> None:
    domainloss.tell_lost(tenant=current_tenant())


@shared_task(name="crm_email.remove_orphaned_domains")  # type: ignore[untyped-decorator]
def remove_orphaned_domains() -> None:
    with in_public():
        domainorphans.remove_orphans()


@shared_task(name="crm_email.sweep_domains")  # type: ignore[untyped-decorator]
def sweep_domains() -> None:
    """What is due, what a killed worker left, and what is to be told."""

    def sweep(tenant: Tenant) -> None:
        headers = {HEADER: tenant.schema_name}
        domains.remove_given_up()
        for domain_id in domainsteps.due(timezone.now()).values_list("pk", flat=True):
            publish(check_domain, domain_id=domain_id, headers=headers)
        if domainloss.untold().exists():
            publish(tell_domain_lost, headers=headers)

    for_each_tenant(sweep)
    with in_public():
        if domainorphans.orphans().exists():
            publish(remove_orphaned_domains, headers={HEADER: PUBLIC})
