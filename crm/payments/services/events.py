"""News of an organisation's own Stripe: kept once by its id; then whom it is about is read anew."""

from __future__ import annotations

import logging
from collections import defaultdict

from django.db import transaction
from django.utils import timezone

from billing.enums import EventState
from billing.models import StripeEvent
from billing.stripe.client import StripeError
from billing.stripe.shapes import customer_in
from crm.payments.services.connecting import PaymentsError
from crm.payments.services.mirroring import sync_customer
from tenants.context import current_tenant

logger = logging.getLogger("crm")

AT_ONCE = 500
ATTEMPTS = 12


def apply_waiting(*, limit: int = AT_ONCE) -> int:
    """Apply what waits for the entered tenant; return how many. Safe to repeat, and to run twice at once."""
    scope = current_tenant().schema_name
    with transaction.atomic():
        rows = StripeEvent.objects.select_for_update(skip_locked=True).filter(state=EventState.WAITING, scope=scope)
        waiting = list(rows.order_by("attempts", "pk")[:limit])
        by_customer: dict[str, list[StripeEvent]] = defaultdict(list)
        for event in waiting:
            about = ((event.payload or {}).get("data") or {}).get("object")
            by_customer[customer_in(about) if isinstance(about, dict) else ""].append(event)
        for stripe_id, events in by_customer.items():
            _apply(stripe_id, events)
    return len(waiting)


def _apply(stripe_id: str, events: list[StripeEvent]) -> None:
    state, problem = EventState.IGNORED, ""
    try:
        with transaction.atomic():
            if stripe_id and sync_customer(stripe_id=stripe_id):
                state = EventState.DONE
    except (StripeError, PaymentsError) as error:
        retryable = isinstance(error, StripeError) and error.retryable and events[0].attempts + 1 < ATTEMPTS
        state, problem = EventState.WAITING if retryable else EventState.FAILED, str(error)[:200]
        logger.warning("Events of an organisation's Stripe could not be applied.")
    applied_at = None if state == EventState.WAITING else timezone.now()
    for event in events:
        changes = {"state": state, "problem": problem, "attempts": event.attempts + 1, "applied_at": applied_at}
        StripeEvent.objects.filter(pk=event.pk).update(**changes)
