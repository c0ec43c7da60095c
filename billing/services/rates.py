"""Changing rates: the old one ends where the new one begins, and nothing that was priced changes."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.utils import timezone

from billing.models import Rate
from billing.services.ledger import price_unknown
from tenants.models import User


class RateError(ValueError):
    """The rate cannot begin there; the text is for whoever entered it."""


def set_rate(
    *,
    provider: str,
    item: str,
    unit: str,
    price: Decimal,
    currency: str,
    per: int = 1,
    valid_from: datetime | None = None,
    note: str = "",
    by: User | None = None,
) -> Rate:
    """Make a price hold from a moment on, and price what waited for one. Raises RateError."""
    begins = valid_from or timezone.now()
    with transaction.atomic():
        same = Rate.objects.select_for_update().filter(provider=provider, item=item, unit=unit)
        current = same.filter(valid_to=None).first()
        if current is not None:
            if begins < current.valid_from:
                raise RateError("There is a later rate already: a new one begins after it.")
            Rate.objects.filter(pk=current.pk).update(valid_to=begins)
        rate = Rate.objects.create(
            provider=provider,
            item=item,
            unit=unit,
            price=price,
            currency=currency,
            per=per,
            valid_from=begins,
            note=note,
            created_by=by,
        )
        price_unknown(provider=provider, item=item)
    return rate
