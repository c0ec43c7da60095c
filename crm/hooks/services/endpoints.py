"""What people do with webhooks: add, change, roll the secret, try, send again, delete."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.db.models import F
from django.utils import timezone

from crm.hooks.addresses import AddressError, read_networks
from crm.hooks.enums import SUBSCRIBABLE, DeliveryState, Event, Problem
from crm.hooks.models import WebhookDelivery, WebhookEndpoint
from crm.hooks.sending import check_url
from crm.hooks.services.waking import wake_after_commit
from crm.hooks.signing import new_secret
from tenants.audit import record
from tenants.context import current_tenant
from tenants.enums import AuditAction
from tenants.models import User

MAX_ENDPOINTS = 20  # every one of them is written to with every event
OLD_SECRET_LASTS = timedelta(hours=24)


class HookError(ValueError):
    """A change that cannot be made. Its text is for people; `field` is the form's field it belongs to."""

    def __init__(self, why: str, *, field: str | None = None) -> None:
        super().__init__(why)
        self.field = field


def check_receiver(url: str) -> None:
    """Raises HookError when nothing may be sent to this address."""
    try:
        check_url(url, allowed=read_networks(settings.ENV.webhook_allowed_networks))
    except AddressError as error:
        raise HookError(str(error), field="url") from None


def create_endpoint(
    *, url: str, events: Sequence[str], description: str = "", is_active: bool = True, actor: User | None = None
) -> WebhookEndpoint:
    """Raises HookError. The secret is in the returned object; it is for its creator to see once."""
    check_receiver(url)
    _check_events(events)
    with transaction.atomic():
        if WebhookEndpoint.objects.kept().count() >= MAX_ENDPOINTS:
            raise HookError(f"There are {MAX_ENDPOINTS} webhooks already. Delete one that nobody needs any more.")
        endpoint: WebhookEndpoint = WebhookEndpoint.objects.create(
            url=url, events=list(events), description=description, is_active=is_active, secret=new_secret()
        )
        _record(endpoint, "added", actor)
    return endpoint


def change_endpoint(
    *,
    endpoint: WebhookEndpoint,
    url: str,
    events: Sequence[str],
    description: str,
    is_active: bool,
    actor: User | None = None,
) -> None:
    """Raises HookError. Switching off gives up what waits; another address is tried at once, without its past."""
    _check_events(events)
    values = {"url": url, "events": list(events), "description": description, "is_active": is_active}
    has_moved = url != endpoint.url
    if has_moved:
        check_receiver(url)
        values |= {"resting_until": None, "consecutive_failures": 0, "failing_since": None}
    with transaction.atomic():
        WebhookEndpoint.objects.kept().filter(pk=endpoint.pk).update(**values, updated_at=timezone.now())
        if not is_active:
            abandon_waiting(endpoint=endpoint)
        _record(endpoint, "changed" if is_active else "switched off", actor)
        if has_moved:
            wake_after_commit([endpoint.pk])
    endpoint.refresh_from_db()


def _check_events(events: Sequence[str]) -> None:
    if not events:
        raise HookError("Choose at least one event.", field="events")
    if unknown := sorted(set(events) - set(SUBSCRIBABLE)):
        raise HookError(f"There is no event called {unknown[0][:40]}.", field="events")


def roll_secret(*, endpoint: WebhookEndpoint, actor: User | None = None) -> str:
    """Return a new secret. The one before stays valid for a day; an even older one ends now."""
    secret = new_secret()
    with transaction.atomic():
        locked = WebhookEndpoint.objects.select_for_update(no_key=True).get(pk=endpoint.pk)
        WebhookEndpoint.objects.filter(pk=endpoint.pk).update(
            secret=secret, old_secret=locked.secret, old_secret_until=timezone.now() + OLD_SECRET_LASTS
        )
        _record(endpoint, "secret rolled", actor)
    return secret


def delete_endpoint(*, endpoint: WebhookEndpoint, actor: User | None = None) -> None:
    """Nothing is sent any more from now on. The rows go later (`sweeping`)."""
    with transaction.atomic():
        gone = {"deleted_at": timezone.now(), "is_active": False, "secret": "", "old_secret": ""}
        if WebhookEndpoint.objects.kept().filter(pk=endpoint.pk).update(**gone):
            abandon_waiting(endpoint=endpoint)
            _record(endpoint, "deleted", actor)


def abandon_waiting(*, endpoint: WebhookEndpoint) -> int:
    now = timezone.now()
    waiting = endpoint.deliveries.filter(state=DeliveryState.PENDING).unclaimed(now)
    values = {"state": DeliveryState.ABANDONED, "last_problem": Problem.SWITCHED_OFF, "claimed_until": None}
    return int(waiting.update(**values, next_attempt_at=None, finished_at=now))


def send_test(*, endpoint: WebhookEndpoint) -> WebhookDelivery:
    """Send a harmless event now, also to a paused receiver. Raises HookError when it is switched off."""
    _require_active(endpoint)
    with transaction.atomic():
        payload: Any = {"is_test": True}
        delivery: WebhookDelivery = endpoint.deliveries.create(event=Event.TEST, payload=payload)
        _send_now(endpoint)
    return delivery


def resend_delivery(*, delivery: WebhookDelivery) -> bool:
    """Send a delivery again, under the same id; return False while it is being sent anyway. Raises HookError."""
    _require_active(delivery.endpoint)
    return bool(_resend(delivery.endpoint, WebhookDelivery.objects.filter(pk=delivery.pk)))


def resend_failed(*, endpoint: WebhookEndpoint) -> int:
    """Send everything again that failed; return how many. Raises HookError."""
    _require_active(endpoint)
    return _resend(endpoint, endpoint.deliveries.filter(state=DeliveryState.FAILED))


def _resend(endpoint: WebhookEndpoint, deliveries: models.QuerySet[WebhookDelivery]) -> int:
    now = timezone.now()
    with transaction.atomic():
        count = deliveries.unclaimed(now).update(  # type: ignore[attr-defined]
            state=DeliveryState.PENDING, next_attempt_at=now, attempts_before=F("attempts"), finished_at=None
        )
        if count:
            _send_now(endpoint)
    return int(count)


def _send_now(endpoint: WebhookEndpoint) -> None:
    """Somebody watches: a failing receiver is not left alone this time."""
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(resting_until=None)
    wake_after_commit([endpoint.pk])


def _require_active(endpoint: WebhookEndpoint) -> None:
    if not endpoint.is_active or endpoint.deleted_at:
        raise HookError("This webhook is switched off. Switch it on first.")


def _record(endpoint: WebhookEndpoint, what: str, actor: User | None) -> None:
    target = f"webhook {endpoint.pk}: {what}"
    record(AuditAction.WEBHOOK_CHANGED, tenant=current_tenant(), actor=actor, target=target)
