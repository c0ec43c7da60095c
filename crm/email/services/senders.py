"""Whom an organisation's e-mail comes from."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from crm.email.enums import DomainState
from crm.email.models import EmailDomain
from crm.email.models.setup import email_settings
from tenants.context import current_tenant


@dataclass(frozen=True, slots=True)
class Sender:
    from_email: str
    from_name: str
    reply_to: str  # "" for none
    is_own_domain: bool


def sender() -> Sender:
    """Return the entered tenant's sender: at its verified domain, else the platform's with the tenant's name."""
    chosen = email_settings()
    name = chosen.from_name or current_tenant().name
    domain = EmailDomain.objects.filter(state=DomainState.VERIFIED).order_by("verified_at", "id").first()
    if domain is None:
        return Sender(settings.ENV.smtp_from_email, name, chosen.reply_to, is_own_domain=False)
    return Sender(f"{chosen.from_local_part}@{domain.domain}", name, chosen.reply_to, is_own_domain=True)
