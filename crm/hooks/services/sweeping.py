"""What is due although nobody woke a worker for it, and what has been kept long enough."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from crm.hooks.enums import DeliveryState, Event
from crm.hooks.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from crm.hooks.services.endpoints import abandon_waiting

KEPT_FOR = timedelta(days=30)
GOES_AFTER = timedelta(days=1)  # no transaction that still points at a deleted webhook is open for so long
BATCH = 1_000


def receivers_with_due(*, now: datetime | None = None) -> list[UUID]:
    """Return receivers that something is due for: first attempts nobody was told of, retries, and lost claims."""
    now = now or timezone.now()
    # Asked from the receivers' side: each needs one look into the index, however much waits for it.
    due = WebhookDelivery.objects.due(now).filter(endpoint=OuterRef("pk"))
    has_due = Q(Exists(due), paused_at=None) | Q(Exists(due.filter(event=Event.TEST)), paused_at__isnull=False)
    is_awake = Q(resting_until=None) | Q(resting_until__lte=now)
    return list(WebhookEndpoint.objects.kept().filter(has_due, is_awake, is_active=True).values_list("pk", flat=True))


def delete_expired(*, now: datetime | None = None) -> int:
    """Delete deliveries after thirty days and the rows of deleted webhooks; return how many deliveries went."""
    now = now or timezone.now()
    for endpoint in WebhookEndpoint.objects.filter(is_active=False):
        abandon_waiting(endpoint=endpoint)  # what was being sent, or emitted, while somebody switched it off
    WebhookEndpoint.objects.filter(old_secret_until__lte=now).update(old_secret="", old_secret_until=None)
    gone = WebhookEndpoint.objects.filter(deleted_at__lte=now - GOES_AFTER)
    over = Q(created_at__lt=now - KEPT_FOR) & ~Q(state=DeliveryState.PENDING, endpoint__paused_at=None)
    count = _delete_in_batches(Q(endpoint__in=gone)) + _delete_in_batches(over)
    gone.delete()
    return count


def _delete_in_batches(condition: Q) -> int:
    """A transaction each, so that millions of rows neither fill the memory nor hold anybody up."""
    count = 0
    while pks := list(WebhookDelivery.objects.filter(condition).order_by().values_list("pk", flat=True)[:BATCH]):
        WebhookAttempt.objects.filter(delivery__in=pks).delete()
        WebhookDelivery.objects.filter(pk__in=pks).delete()
        count += len(pks)
    return count
