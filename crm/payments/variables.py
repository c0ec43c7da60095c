"""What templates of e-mails may print of a contact's open invoice; empty for who owes nothing."""

from __future__ import annotations

from collections.abc import Callable

from crm.email.rendering.variables import register
from crm.models import Contact
from crm.payments.models import CustomerInvoice
from crm.payments.selectors import amount_due, next_due


def _of_invoice(read: Callable[[CustomerInvoice], str]) -> Callable[[Contact], str]:
    def value(contact: Contact) -> str:
        invoice = next_due(contact)
        return "" if invoice is None else read(invoice)

    return value


register("invoice_number", "Open invoice: number", "INV-0007", _of_invoice(str))
register("invoice_amount", "Open invoice: amount", "$49.00", _of_invoice(amount_due))
register(
    "invoice_due_on",
    "Open invoice: due on",
    "1 December 2026",
    _of_invoice(lambda invoice: f"{invoice.due_on:%d %B %Y}" if invoice.due_on else ""),
)
register("invoice_url", "Open invoice: page to pay it", "https://example.com/i/1", _of_invoice(lambda one: one.page_url))
