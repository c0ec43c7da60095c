"""Stripe's webhooks: stored once, in whatever order; then what they are about is read anew, once for all of them."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from billing.enums import EventState
from billing.models import Account, StripeEvent
from billing.services.syncing import sync_account, sync_invoice
from billing.stripe.client import StripeError, installation_client
from billing.stripe.shapes import customer_in, moment

logger = logging.getLogger("billing")

AT_ONCE = 500
ATTEMPTS = 12
KEPT_FOR = timedelta(days=60)
_ABOUT_SUBSCRIPTIONS = ("checkout.session.", "customer.subscription.", "customer.updated", "customer.deleted")


def keep_event(body: Mapping[str, Any], *, scope: str = "") -> bool:
    """Store an event by its id; return whether it is new. Raises ValueError for what is none."""
    if body.get("object") != "event" or not body.get("id") or not isinstance(body.get("type"), str):
        raise ValueError("not an event")
    values = {"type": body["type"][:80], "created": moment(body.get("created")) or timezone.now(), "payload": dict(body)}
    _, is_new = StripeEvent.objects.get_or_create(scope=scope, event_id=str(body["id"])[:80], defaults=values)
    return is_new


def apply_waiting(*, limit: int = AT_ONCE) -> int:
    """Apply the installation's events that wait; return how many. Safe to repeat, and to run twice at once."""
    with transaction.atomic():
        rows = StripeEvent.objects.select_for_update(skip_locked=True).filter(state=EventState.WAITING, scope="")
        waiting = list(rows.order_by("attempts", "pk")[:limit])
        if waiting:
            _apply(waiting, _sync)
    return len(waiting)


Sync = Callable[[str, set[str]], bool]


def _apply(waiting: list[StripeEvent], sync: Sync) -> None:
    """Read each customer once, however many events there are of them, and note what came of it."""
    by_customer: dict[str, list[StripeEvent]] = defaultdict(list)
    for event in waiting:
        by_customer[_customer_of(event)].append(event)
    for customer_id, events in by_customer.items():
        if not customer_id:
            _end(events, EventState.IGNORED)
            continue
        invoices = {
            str(about["id"]) for event in events if (about := _about(event)).get("object") == "invoice" and about.get("id")
        }
        try:
            with transaction.atomic():
                known = sync(customer_id, invoices)
        except StripeError as error:
            _put_off(events, error)
        else:
            _end(events, EventState.DONE if known else EventState.IGNORED)


def _about(event: StripeEvent) -> Mapping[str, Any]:
    found = ((event.payload or {}).get("data") or {}).get("object")
    return found if isinstance(found, Mapping) else {}


def _customer_of(event: StripeEvent) -> str:
    """Return whom an event is about; "" for one of a kind that changes nothing here."""
    if event.type.startswith("invoice.") or event.type.startswith(_ABOUT_SUBSCRIPTIONS):
        return customer_in(_about(event))
    return ""


def _sync(customer_id: str, invoices: set[str]) -> bool:
    account = Account.objects.filter(customer_id=customer_id).first()
    if account is None:
        return False
    sync_account(account_id=account.pk)
    for invoice_id in sorted(invoices):
        sync_invoice(account=account, invoice_id=invoice_id)
    return True


def _end(events: Iterable[StripeEvent], state: EventState) -> None:
    pks = [event.pk for event in events]
    done = {"state": state, "applied_at": timezone.now(), "attempts": F("attempts") + 1, "problem": ""}
    StripeEvent.objects.filter(pk__in=pks).update(**done)


def _put_off(events: Iterable[StripeEvent], error: StripeError) -> None:
    for event in events:
        is_over = not error.retryable or event.attempts + 1 >= ATTEMPTS
        StripeEvent.objects.filter(pk=event.pk).update(
            attempts=F("attempts") + 1,
            problem=str(error)[:200],
            state=EventState.FAILED if is_over else EventState.WAITING,
        )
    logger.warning("Events of Stripe could not be applied.", extra={"why": error.code or "unreachable"})


def replay(*, since: datetime) -> int:
    """Fetch what Stripe has sent since then, store what never arrived, and apply it; return how many were new.

    Raises StripeError. What failed is tried again, too.
    """
    new = sum(keep_event(event) for event in installation_client().events_since(since))
    StripeEvent.objects.filter(state=EventState.FAILED, scope="").update(state=EventState.WAITING, attempts=0)
    while apply_waiting():
        if not StripeEvent.objects.filter(state=EventState.WAITING, scope="", attempts=0).exists():
            break
    return new


def forget_old(*, now: datetime | None = None) -> int:
    old = StripeEvent.objects.filter(received_at__lt=(now or timezone.now()) - KEPT_FOR)
    return old.exclude(state=EventState.WAITING).delete()[0]
