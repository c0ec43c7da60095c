"""The country of numbers that are written without one, as far as the organization's own numbers tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from crm.models import Contact
from crm.models.setup import crm_settings
from crm.phones import region_of
from tenants.context import current_tenant
from tenants.models import PhoneNumber

_SAMPLE = 100  # contacts whose numbers are looked at


def likely_region() -> str:
    """Return the country chosen in the settings, else that of the organization's numbers, else of most contacts."""
    if chosen := crm_settings().phone_region:
        return str(chosen)
    own = PhoneNumber.objects.filter(tenant=current_tenant()).values_list("number", flat=True)
    latest = Contact.objects.live().exclude(phone_indexes=[]).order_by("-pk")[:_SAMPLE]
    return _commonest(own) or _commonest(phone["number"] for contact in latest for phone in contact.phones)


def _commonest(numbers: Iterable[str]) -> str:
    regions = Counter(filter(None, map(region_of, numbers)))
    return max(sorted(regions), key=regions.__getitem__, default="")
