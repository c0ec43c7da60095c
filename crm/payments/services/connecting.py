"""An organisation's own account at Stripe: its key is tried before it is kept, and kept encrypted."""

from __future__ import annotations

import hmac
import secrets

from django.conf import settings
from django.db import transaction

from billing.stripe.client import StripeClient, StripeError, client_for
from crm.payments.models import Customer, StripeConnection
from tenants.audit import record
from tenants.context import current_tenant
from tenants.enums import AuditAction
from tenants.models import User


class PaymentsError(ValueError):
    """It cannot be done; the text is for the person who asked."""


def connection() -> StripeConnection | None:
    return StripeConnection.objects.first()


def client_of(found: StripeConnection) -> StripeClient:
    env = settings.ENV
    return client_for(found.secret_key, env.stripe_api_url, env.stripe_api_version)


def connected_client() -> StripeClient:
    """Raises PaymentsError."""
    found = connection()
    if found is None:
        raise PaymentsError("No Stripe account is connected.")
    return client_of(found)


def connect(*, secret_key: str, webhook_secret: str, by: User) -> StripeConnection:
    """Connect an account, or give the connected one new keys. Raises PaymentsError for a key Stripe does not know."""
    env = settings.ENV
    try:
        account = client_for(secret_key, env.stripe_api_url, env.stripe_api_version).account()
    except StripeError as error:
        text = "Stripe does not know this key." if error.status in (401, 403) else f"Stripe did not answer: {error}"
        raise PaymentsError(text) from None
    profile = account.get("business_profile") or {}
    values = {
        "secret_key": secret_key,
        "webhook_secret": webhook_secret,
        "account_id": str(account["id"]),
        "account_name": str(profile.get("name") or "")[:200],
    }
    with transaction.atomic():
        found = StripeConnection.objects.select_for_update().first()
        if found is None:
            found = StripeConnection.objects.create(token=secrets.token_urlsafe(32), **values)
        else:
            if found.account_id != values["account_id"]:  # somebody else's customers now
                Customer.objects.all().delete()
            for name, value in values.items():
                setattr(found, name, value)
            found.save()
        _record(by, f"connected {found}")
    return found


def disconnect(*, by: User) -> None:
    """Forget the account and all that was mirrored; at Stripe nothing changes. Contacts keep the customer's name."""
    with transaction.atomic():
        Customer.objects.all().delete()
        StripeConnection.objects.all().delete()
        _record(by, "disconnected")


def webhook_address(found: StripeConnection) -> str:
    return f"{settings.PUBLIC_URL}/api/webhooks/stripe/{current_tenant().schema_name}.{found.token}"


def connection_with(token: str) -> StripeConnection | None:
    """Return the entered tenant's connection if the token is its own."""
    found = connection()
    return found if found is not None and hmac.compare_digest(found.token.encode(), token.encode()) else None


def _record(by: User, what: str) -> None:
    record(AuditAction.PAYMENTS_CHANGED, tenant=current_tenant(), actor=by, target=what[:200])
