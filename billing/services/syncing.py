"""Reading back what Stripe knows. Nothing is taken from an event but whom it is about: the object is read anew.

The account's row is locked while it is read, so that of two readings the later one is the one that stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from billing.enums import AccountStatus
from billing.models import Account, Invoice, Plan
from billing.signals import account_changed
from billing.stripe.client import Object, StripeClient, StripeError, installation_client
from billing.stripe.shapes import InvoiceShape, SubscriptionShape, moment, read_invoice, read_subscription
from tenants.context import entered

# The one that counts, of several an organisation has had.
_ORDER = ("active", "trialing", "past_due", "unpaid", "paused", "incomplete", "canceled", "incomplete_expired")


def sync_account(*, account_id: int) -> bool:
    """Bring an organisation's subscription up to date; return whether anything is different. Raises StripeError."""
    client = installation_client()
    with transaction.atomic():
        account = Account.objects.select_for_update().select_related("tenant").get(pk=account_id)
        if not account.customer_id:
            return False
        found = current_of(client.subscriptions_of(account.customer_id))
        before = _state(account)
        if found is not None:
            _take(account, read_subscription(found), _overdue_since(found, client))
        account.synced_at = timezone.now()
        account.save()
        changed = before != _state(account)
        if changed:
            with entered(account.tenant):
                account_changed.send(sender=Account, account=account)
    return changed


def current_of(found: Sequence[Object]) -> Object | None:
    """Return the subscription that counts: the best one that lives, else the newest that does not."""

    def rank(one: Object) -> tuple[int, int]:
        status = str(one.get("status"))
        return (_ORDER.index(status) if status in _ORDER else len(_ORDER), -int(one.get("created") or 0))

    return min(found, key=rank, default=None)


def _overdue_since(found: Object, client: StripeClient) -> datetime | None:
    """Return since when a payment is owed: the invoice that is open says so, whenever we come to look."""
    if found.get("status") != AccountStatus.PAST_DUE:
        return None
    latest = found.get("latest_invoice")
    if isinstance(latest, str):
        latest = client.invoice(latest)
    return moment((latest or {}).get("created")) or timezone.now()


def _take(account: Account, shape: SubscriptionShape, overdue_since: datetime | None) -> None:
    plan = Plan.objects.filter(price_id__in=[price for price in shape.price_ids if price]).first()
    known = shape.status in AccountStatus.values
    account.plan = plan or account.plan
    account.price_id = shape.price_ids[0] if shape.price_ids else ""
    account.subscription_id = shape.id
    account.status = shape.status if known else AccountStatus.UNPAID  # a state nobody has told us of opens nothing
    account.trial_ends_at = shape.trial_end or account.trial_ends_at
    account.period_begins, account.period_ends = shape.begins, shape.ends
    account.cancels_at = shape.cancels_at if shape.status != AccountStatus.CANCELED else None
    account.past_due_since = overdue_since
    account.billed_from = account.billed_from or shape.started


def _state(account: Account) -> tuple[object, ...]:
    return (
        account.plan_id,
        account.subscription_id,
        account.status,
        account.trial_ends_at,
        account.period_begins,
        account.period_ends,
        account.cancels_at,
        account.past_due_since,
    )


def sync_invoice(*, account: Account, invoice_id: str) -> None:
    """Raises StripeError."""
    client = installation_client()
    with transaction.atomic():
        Account.objects.select_for_update().get(pk=account.pk)
        try:
            found = client.invoice(invoice_id)
        except StripeError as error:
            if error.status != 404:
                raise
            Invoice.objects.filter(stripe_id=invoice_id, tenant=account.tenant_id).delete()  # a draft that was thrown away
            return
        keep_invoice(account=account, shape=read_invoice(found))


def sync_invoices(*, account: Account) -> int:
    """Read all of an organisation's invoices; return how many. Raises StripeError."""
    client = installation_client()
    with transaction.atomic():
        Account.objects.select_for_update().get(pk=account.pk)
        found = client.invoices_of(account.customer_id)
        for one in found:
            keep_invoice(account=account, shape=read_invoice(one))
    return len(found)


def keep_invoice(*, account: Account, shape: InvoiceShape) -> None:
    if shape.customer_id != account.customer_id or shape.status == "draft":
        return
    values = {
        "tenant_id": account.tenant_id,
        "number": shape.number,
        "status": shape.status,
        "currency": shape.currency,
        "total_minor": shape.total_minor,
        "paid_minor": shape.paid_minor,
        "due_minor": shape.due_minor,
        "created_at": shape.created or timezone.now(),
        "due_on": shape.due_on,
        "period_begins": shape.begins,
        "period_ends": shape.ends,
        "page_url": shape.page_url,
        "pdf_url": shape.pdf_url,
        "synced_at": timezone.now(),
    }
    Invoice.objects.update_or_create(stripe_id=shape.id, defaults=values)
