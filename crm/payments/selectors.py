"""What a page, an agent or an e-mail may say of a contact's payments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from billing.money import shown
from crm.models import Contact
from crm.payments.models import Customer, CustomerInvoice, Payment, Subscription
from crm.payments.services.connecting import connection

ROWS = 10


@dataclass(frozen=True, slots=True)
class Standing:
    """A contact's mirror. `customer` is None for a contact that is linked to nobody."""

    is_connected: bool
    customer: Customer | None
    subscriptions: list[Subscription]
    open_invoices: list[CustomerInvoice]
    paid_invoices: list[CustomerInvoice]
    payments: list[Payment]

    @property
    def is_overdue(self) -> bool:
        now = timezone.now()
        return any(invoice.due_on is not None and invoice.due_on < now for invoice in self.open_invoices)


def standing_of(contact: Contact) -> Standing:
    customer = Customer.objects.filter(contact=contact).first()
    if customer is None:
        return Standing(connection() is not None, None, [], [], [], [])
    invoices = list(customer.invoices.all()[: ROWS * 5])
    return Standing(
        is_connected=connection() is not None,
        customer=customer,
        subscriptions=list(customer.subscriptions.all()[:ROWS]),
        open_invoices=[one for one in invoices if one.status == "open"][:ROWS],
        paid_invoices=[one for one in invoices if one.status == "paid"][:ROWS],
        payments=list(customer.payments.all()[:ROWS]),
    )


def next_due(contact: Contact) -> CustomerInvoice | None:
    """Return the open invoice that is due first; without due dates the oldest."""
    invoices = CustomerInvoice.objects.filter(customer__contact=contact, status="open", due_minor__gt=0)
    return min(invoices, key=_due, default=None)


def _due(invoice: CustomerInvoice) -> datetime:
    return invoice.due_on or invoice.created_at


def amount_due(invoice: CustomerInvoice) -> str:
    return shown(invoice.due, invoice.currency)
