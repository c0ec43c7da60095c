"""Domains of organisations that are gone: the provider is to forget them too. Runs outside of tenants.

When an organisation is deleted, its schema goes and its claims stay, without it (`SendingDomain`). So the work is there
whatever is killed when, and nobody else can have the name before the provider has let go of it.
"""

from __future__ import annotations

import logging

from django.db.models import QuerySet

from crm.email.providers.domain_api import DomainApiError, domain_api
from crm.email.services.domainsteps import remove_at_provider
from tenants.models import SendingDomain

logger = logging.getLogger("crm.email")

AT_ONCE = 20  # then the next sweep


def orphans() -> QuerySet[SendingDomain]:
    found = SendingDomain.objects.filter(tenant=None)
    return found if domain_api() else found.filter(provider_id="")


def remove_orphans() -> int:
    """Return how many are gone. What the provider does not let go of now is tried again by the sweep."""
    api, gone = domain_api(), 0
    for orphan in orphans().order_by("pk")[:AT_ONCE]:
        try:
            if api is not None:
                remove_at_provider(api, orphan)
        except DomainApiError as error:
            logger.warning("A domain of a deleted organisation stays at the provider.", extra={"status": error.status})
            continue
        gone += SendingDomain.objects.filter(pk=orphan.pk, tenant=None).delete()[0]
    return gone
