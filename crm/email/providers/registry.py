"""Which way of sending this installation has."""

from __future__ import annotations

from django.conf import settings

from crm.email.providers.base import Provider
from crm.email.providers.sendgrid import SendGrid
from crm.email.providers.smtp import Smtp


def provider() -> Provider | None:
    """Return SendGrid when there is a key for it, else the mail server, else None. To be closed after use."""
    env = settings.ENV
    if env.sendgrid_api_key:
        return SendGrid(
            api_key=env.sendgrid_api_key,
            url=env.sendgrid_api_url,
            substitutions=env.sendgrid_substitutions,
            reports_events=bool(env.sendgrid_webhook_public_key),
        )
    return Smtp() if settings.EMAIL_IS_DELIVERED else None


def provider_name() -> str:
    """Return what the ledger calls the way of sending; "" when there is none."""
    chosen = provider()
    if chosen is None:
        return ""
    chosen.close()
    return chosen.name


def reports_events() -> bool | None:
    """Tell whether the provider says what became of messages; None when there is none."""
    chosen = provider()
    if chosen is None:
        return None
    chosen.close()
    return chosen.reports_events
