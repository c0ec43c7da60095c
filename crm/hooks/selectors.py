"""What the pages show."""

from __future__ import annotations

from dataclasses import dataclass

from django.core.paginator import Page, Paginator
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from crm.hooks.enums import DeliveryState
from crm.hooks.models import WebhookDelivery, WebhookEndpoint

PAGE_SIZE = 50


def endpoints() -> QuerySet[WebhookEndpoint]:
    """Webhooks with how much waits, and when the newest delivery was written."""
    theirs = WebhookDelivery.objects.filter(endpoint=OuterRef("pk"))
    newest = theirs.order_by("-created_at", "-id")
    # Counted in a subquery of its own, which has a small index; a join would read the whole log.
    waiting = theirs.filter(state=DeliveryState.PENDING).order_by().values("endpoint").annotate(count=Count("pk"))
    kept: QuerySet[WebhookEndpoint] = WebhookEndpoint.objects.kept()
    return kept.annotate(
        waiting=Coalesce(Subquery(waiting.values("count")), 0),
        newest_at=Subquery(newest.values("created_at")[:1]),
    )


@dataclass(frozen=True, slots=True)
class Log:
    page: Page[WebhookDelivery]
    state: str
    counts: list[tuple[DeliveryState, int]]

    @property
    def failed(self) -> int:
        return dict(self.counts)[DeliveryState.FAILED]

    @property
    def is_empty(self) -> bool:
        return not any(count for _, count in self.counts)


def delivery_log(endpoint: WebhookEndpoint, *, state: str = "", page: str | None = None) -> Log:
    """Newest first; a state that does not exist filters nothing."""
    deliveries = endpoint.deliveries.defer("payload", "response_excerpt")
    found = dict(endpoint.deliveries.order_by().values_list("state").annotate(count=Count("pk")))
    counts = [(known, found.get(known.value, 0)) for known in DeliveryState]
    chosen = state if state in DeliveryState.values else ""
    if chosen:
        deliveries = deliveries.filter(state=chosen)
    return Log(Paginator(deliveries, PAGE_SIZE).get_page(page), chosen, counts)
