"""Telling owners and admins that a sending domain does not work any more, once."""

from __future__ import annotations

import logging
from datetime import datetime
from urllib.parse import urlsplit

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone

from crm.email.domainnames import display
from crm.email.models import EmailDomain
from crm.email.models.setup import EmailSettings, email_settings
from crm.email.providers import registry
from crm.email.services.notices import NotDeliveredError, platform_sender, send_notice
from crm.selectors.people import people_of
from tenants.models import Tenant

logger = logging.getLogger("crm.email")


def untold() -> QuerySet[EmailDomain]:
    found: QuerySet[EmailDomain] = EmailDomain.objects.filter(lost_at__isnull=False, told_at=None)
    return found


def tell_lost(*, tenant: Tenant, now: datetime | None = None) -> int:
    """Write to those who can do something about it; return about how many domains.

    Each is claimed first: rather no e-mail at a crash than the same one twice. The page says it anyway. Without a way
    of sending nobody is told until there is one.
    """
    now = now or timezone.now()
    told = 0
    if not _can_be_told():
        return told
    for domain in untold():
        if not untold().filter(pk=domain.pk).update(told_at=now):
            continue
        if _send(domain, tenant, email_settings()):
            told += 1
        else:
            EmailDomain.objects.filter(pk=domain.pk, told_at=now).update(told_at=None)
    return told


def _can_be_told() -> bool:
    return registry.reports_events() is not None


def _send(domain: EmailDomain, tenant: Tenant, texts: EmailSettings) -> bool:
    """Write to each of them; return whether it left for at least one, or there is nobody to write to."""
    values = {"domain": display(domain.domain), "organization": tenant.name}
    values["link"] = f"{_origin(tenant)}{domain.get_absolute_url()}"
    subject, text = texts.domain_lost_subject, texts.domain_lost_text
    for name, value in values.items():
        subject = subject.replace("{" + name + "}", " ".join(value.split()))
        text = text.replace("{" + name + "}", value)
    subject = " ".join(subject.split())[:200]
    left = [_left(user.email, subject, text, domain) for user in people_of(tenant)]
    return any(left) or not left


def _left(address: str, subject: str, text: str, domain: EmailDomain) -> bool:
    try:
        send_notice(to=address, sender=platform_sender(), subject=subject, text=text)
    except NotDeliveredError as error:
        logger.exception("The loss of a sending domain could not be told.", extra={"domain": domain.pk})
        return error.may_have_left  # rather one notice too few than the same one again and again
    return True


def _origin(tenant: Tenant) -> str:
    """The tenant's own address, with the scheme and port of the installation."""
    public = urlsplit(settings.PUBLIC_URL)
    port = f":{public.port}" if public.port else ""
    return f"{public.scheme}://{tenant.primary_domain}{port}"
