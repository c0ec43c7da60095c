"""The suppression list. Addresses are encrypted, so one is found by the whole of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.core.paginator import Page, Paginator
from django.db.models import Count

from crm.email.enums import SuppressionReason
from crm.email.models import Suppression

PAGE_SIZE = 40
LIFTED = "lifted"


@dataclass(frozen=True, slots=True)
class SuppressionPage:
    page: Page[Suppression]
    counts: Sequence[tuple[SuppressionReason, int]]
    total: int
    chosen: str  # a reason, "lifted", or nothing

    @property
    def is_empty(self) -> bool:
        return not self.total and self.chosen != LIFTED


def suppression_page(*, reason: str = "", address: str = "", page: str | None = None) -> SuppressionPage:
    """Newest first. A reason that does not exist filters nothing."""
    counted = dict(Suppression.objects.standing().order_by().values_list("reason").annotate(count=Count("pk")))
    chosen = reason if reason in SuppressionReason.values or reason == LIFTED else ""
    found = Suppression.objects.exclude(lifted_at=None) if chosen == LIFTED else Suppression.objects.standing()
    if chosen and chosen != LIFTED:
        found = found.filter(reason=chosen)
    if address := address.replace("\0", "").strip():
        found = found.for_address(address)
    counts = [(known, counted.get(known.value, 0)) for known in SuppressionReason]
    return SuppressionPage(Paginator(found, PAGE_SIZE).get_page(page), counts, sum(counted.values()), chosen)
