"""Whom an organisation's e-mail comes from."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from crm.email.enums import DomainState
from crm.email.models import EmailDomain
from crm.email.models.setup import email_settings
from tenants.context import current_tenant
from tenants.enums import Role
from tenants.models import Membership


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
    reply_to = chosen.reply_to or _owners_address()
    domain = EmailDomain.objects.filter(state=DomainState.VERIFIED).order_by("verified_at", "id").first()
    if domain is None:
        return Sender(settings.ENV.smtp_from_email, name, reply_to, is_own_domain=False)
    return Sender(f"{chosen.from_local_part}@{domain.domain}", name, chosen.reply_to, is_own_domain=True)


def _owners_address() -> str:
    """Return where answers go when nobody has said: to the first owner, since the platform's address has no reader."""
    owners = Membership.objects.filter(tenant=current_tenant(), role=Role.OWNER, user__is_active=True)
    return owners.order_by("pk").values_list("user__email", flat=True).first() or ""
