"""Reading what Stripe knows of a contact, whole and anew each time: the order in which news arrive does not matter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import transaction
from django.db.models import Model
from django.utils import timezone

from billing.stripe.client import Object, StripeError
from billing.stripe.shapes import moment, read_invoice, read_subscription
from crm.models import Contact
from crm.payments.models import Customer, CustomerInvoice, Payment, Subscription
from crm.payments.services.connecting import PaymentsError, connected_client
from crm.services.contacts import update_contact

INVOICES = 50
PAYMENTS = 50


def sync_customer(*, stripe_id: str) -> bool:
    """Bring a customer's mirror up to date; return whether they are a contact's. Raises StripeError, PaymentsError.

    The row is locked while Stripe is asked, so that of two readings the later one stays.
    """
    client = connected_client()
    with transaction.atomic():
        customer = Customer.objects.select_for_update().filter(stripe_id=stripe_id).first()
        if customer is None:
            return False
        _keep(customer, Subscription, [_subscription(one) for one in client.subscriptions_of(stripe_id)])
        _keep(customer, CustomerInvoice, _invoices(client.invoices_of(stripe_id, most=INVOICES)))
        _keep(customer, Payment, [_payment(one) for one in client.charges_of(stripe_id, most=PAYMENTS)])
        Customer.objects.filter(pk=customer.pk).update(synced_at=timezone.now())
    return True


def _keep(customer: Customer, model: type[Model], rows: Iterable[Mapping[str, Any]]) -> None:
    wanted = {str(row["stripe_id"]): row for row in rows}
    manager: Any = model._default_manager
    manager.filter(customer=customer).exclude(stripe_id__in=wanted).delete()
    for stripe_id, values in wanted.items():
        manager.update_or_create(stripe_id=stripe_id, defaults={**values, "customer": customer})


def _subscription(found: Object) -> dict[str, Any]:
    shape = read_subscription(found)
    return {
        "stripe_id": shape.id,
        "status": shape.status,
        "amount_minor": shape.amount_minor,
        "currency": shape.currency,
        "interval": shape.interval,
        "interval_count": shape.interval_count,
        "is_discounted": shape.is_discounted,
        "period_ends": shape.ends,
        "cancels_at": shape.cancels_at,
        "started_at": shape.started,
    }


def _invoices(found: Sequence[Object]) -> list[dict[str, Any]]:
    shapes = [read_invoice(one) for one in found]
    return [
        {
            "stripe_id": shape.id,
            "number": shape.number,
            "status": shape.status,
            "currency": shape.currency,
            "total_minor": shape.total_minor,
            "due_minor": shape.due_minor,
            "created_at": shape.created or timezone.now(),
            "due_on": shape.due_on,
            "paid_at": shape.paid_at,
            "page_url": shape.page_url,
        }
        for shape in shapes
        if shape.status != "draft"
    ]


def _payment(found: Object) -> dict[str, Any]:
    return {
        "stripe_id": str(found["id"]),
        "status": str(found.get("status") or "")[:20],
        "currency": str(found.get("currency") or "").upper(),
        "amount_minor": int(found.get("amount") or 0),
        "refunded_minor": int(found.get("amount_refunded") or 0),
        "description": str(found.get("description") or "")[:200],
        "made_at": moment(found.get("created")) or timezone.now(),
    }


def candidates(*, contact: Contact) -> list[Object]:
    """Return Stripe's customers with the contact's address. Raises StripeError, PaymentsError."""
    return connected_client().customers_with_email(contact.contact_email) if contact.contact_email else []


def link(*, contact: Contact, stripe_id: str) -> Customer:
    """Make a customer at Stripe this contact. Raises PaymentsError when they are another's, or unknown to Stripe."""
    client = connected_client()
    try:
        found = client.customer(stripe_id)
    except StripeError as error:
        if error.status != 404:
            raise
        raise PaymentsError("Stripe knows no such customer.") from None
    if found.get("deleted"):
        raise PaymentsError("This customer was deleted at Stripe.")
    with transaction.atomic():
        other = Customer.objects.select_related("contact").filter(stripe_id=stripe_id).exclude(contact=contact).first()
        if other is not None:
            raise PaymentsError(f"This customer belongs to {other.contact.name} already.")
        customer, _ = Customer.objects.update_or_create(
            contact=contact, defaults={"stripe_id": stripe_id, "synced_at": None}
        )
        if contact.stripe_customer_id != stripe_id:
            update_contact(contact=contact, values={"stripe_customer_id": stripe_id})
    sync_customer(stripe_id=stripe_id)
    return customer


def create(*, contact: Contact) -> Customer:
    """Make the contact a customer at Stripe; made once, however often it is asked. Raises StripeError, PaymentsError."""
    made = connected_client().create_customer(
        name=contact.contact_name or contact.business_name,
        email=contact.contact_email,
        metadata={"contact": str(contact.pk)},
        key=f"contact:{contact.pk}",
    )
    return link(contact=contact, stripe_id=str(made["id"]))


def unlink(*, contact: Contact) -> None:
    with transaction.atomic():
        Customer.objects.filter(contact=contact).delete()
        if contact.stripe_customer_id:
            update_contact(contact=contact, values={"stripe_customer_id": ""})
