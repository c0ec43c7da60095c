"""Holding a receiver's deliveries back, and letting them go again."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from crm.hooks.enums import DeliveryState, PauseReason
from crm.hooks.models import WebhookEndpoint
from crm.hooks.services.waking import wake_after_commit
from tenants.audit import record
from tenants.context import current_tenant
from tenants.enums import AuditAction
from tenants.models import User


def pause_endpoint(
    *, endpoint: WebhookEndpoint, reason: PauseReason, actor: User | None = None, now: datetime | None = None
) -> bool:
    """Stop sending; events wait for three days. Return whether it was not paused before. Leaves an audit event."""
    running = WebhookEndpoint.objects.filter(pk=endpoint.pk, paused_at=None)
    with transaction.atomic():
        paused = running.update(paused_at=now or timezone.now(), paused_reason=reason)
        if paused:
            target = f"webhook {endpoint.pk} paused: {reason.label}"
            record(AuditAction.WEBHOOK_CHANGED, tenant=current_tenant(), actor=actor, target=target[:200])
    return bool(paused)


def resume_endpoint(*, endpoint: WebhookEndpoint, actor: User | None = None) -> bool:
    """Send again, beginning with what waits, and count failures from nothing."""
    now = timezone.now()
    with transaction.atomic():
        resumed = WebhookEndpoint.objects.filter(pk=endpoint.pk, paused_at__isnull=False).update(
            paused_at=None, paused_reason="", failing_since=None, consecutive_failures=0, resting_until=None
        )
        if not resumed:
            return False
        endpoint.deliveries.filter(state=DeliveryState.PENDING).unclaimed(now).update(next_attempt_at=now)
        target = f"webhook {endpoint.pk}: resumed"
        record(AuditAction.WEBHOOK_CHANGED, tenant=current_tenant(), actor=actor, target=target)
        wake_after_commit([endpoint.pk])
    return True
