"""What providers say was used, against what the ledger says: a difference beyond the threshold is kept for staff.

Rooms that talk to a provider register how its figures of a day are fetched. The provider's day is UTC's, the ledger's
entries are added up by their own moment, so both speak of the same hours.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from django.conf import settings
from django.core.mail import EmailMessage
from django.db.models import Sum
from django.template.loader import render_to_string
from django.utils import timezone

from billing.models import Drift, LedgerEntry
from tenants.models import Tenant, User

logger = logging.getLogger("billing")

KEYS_KEPT = 200


@dataclass(frozen=True, slots=True)
class Figure:
    """What a provider says was used of an item on a day, in the ledger's unit."""

    item: str
    unit: str
    quantity: Decimal


class FiguresError(Exception):
    """The provider did not say; it will be asked again the next day. The text says why, without any secret."""


Fetch = Callable[[date], list[Figure] | None]
_fetchers: dict[str, Fetch] = {}


def register(provider: str, fetch: Fetch) -> None:
    """`fetch` returns a day's figures, or None where nothing is configured to ask with; it raises FiguresError."""
    _fetchers[provider] = fetch


def reconcile_day(*, day: date | None = None) -> list[Drift]:
    """Compare a day, yesterday unless told, with every provider that can be asked; return what does not fit."""
    day = day or (timezone.now() - timedelta(days=1)).date()
    found = []
    for provider, fetch in sorted(_fetchers.items()):
        try:
            figures = fetch(day)
        except FiguresError as error:
            logger.warning("A provider's figures could not be fetched.", extra={"provider": provider, "why": str(error)})
            continue
        for figure in figures or ():
            drift = _compare(provider, day, figure)
            found += [drift] if drift else []
    return found


def _compare(provider: str, day: date, figure: Figure) -> Drift | None:
    begin = datetime.combine(day, time(), UTC)
    rows = LedgerEntry.objects.filter(
        provider=provider, item=figure.item, unit=figure.unit, at__gte=begin, at__lt=begin + timedelta(days=1)
    ).filter(day__range=(day - timedelta(days=1), day + timedelta(days=1)))
    ours = rows.aggregate(sum=Sum("quantity"))["sum"] or Decimal(0)
    if fits(ours, figure.quantity):
        return None
    keys = list(rows.order_by("-quantity").values_list("key", flat=True)[:KEYS_KEPT])
    return note_drift(
        provider=provider, what=f"{figure.item} on {day}", day=day, ours=ours, theirs=figure.quantity, keys=keys
    )


def fits(ours: Decimal, theirs: Decimal) -> bool:
    """Tell whether two figures are the same but for the threshold, a share of the larger one."""
    return abs(ours - theirs) * 100 <= max(abs(ours), abs(theirs)) * settings.ENV.drift_threshold_percent


def tell_staff(found: Sequence[Drift]) -> int:
    """Mail the staff what does not fit; return to how many."""
    staff = list(User.objects.filter(is_staff=True, is_active=True).values_list("email", flat=True))
    if not found or not staff:
        return 0
    context = {"drifts": found, "url": f"{settings.PUBLIC_URL}/admin/billing/drift/"}
    body = render_to_string("billing/mail/drift.txt", context)
    for address in staff:
        EmailMessage("Figures of providers are not ours", body, to=[address]).send()
    return len(staff)


def note_drift(
    *,
    provider: str,
    what: str,
    day: date,
    ours: Decimal | None,
    theirs: Decimal,
    keys: list[str],
    currency: str = "",
    tenant: Tenant | None = None,
) -> Drift:
    """Keep a difference once; a later look brings its figures up to date, and opens nothing that staff has settled."""
    values = {"tenant": tenant, "day": day, "ours": ours, "theirs": theirs, "keys": keys, "currency": currency}
    drift, _ = Drift.objects.update_or_create(provider=provider, what=what[:120], defaults=values)
    logger.error("A provider's figure is not ours.", extra={"provider": provider, "what": what})
    return drift
