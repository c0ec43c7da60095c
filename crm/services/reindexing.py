"""Making the indexes of parts for contacts from before there were any. Runs inside the tenant, piece by piece."""

from __future__ import annotations

from django.db import transaction

from crm import blindparts
from crm.models import Contact

BATCH = 500


def index_parts(limit: int = BATCH) -> bool:
    """Index some contacts whose parts are not, and tell whether there may be more. Safe to run twice at once."""
    with transaction.atomic():
        rows = Contact.objects.filter(parts_version=0).order_by("pk").select_for_update(skip_locked=True)
        batch = list(rows.only("contact_email", "phones", "address")[:limit])
        for contact in batch:
            contact.phone_indexes = blindparts.phone_indexes(contact.phones)
            contact.email_parts = blindparts.email_parts(contact.contact_email)
            contact.address_parts = blindparts.address_parts(contact.address)
            contact.parts_version = blindparts.PARTS_VERSION
        Contact.objects.bulk_update(batch, ["phone_indexes", "email_parts", "address_parts", "parts_version"])
    return len(batch) == limit
