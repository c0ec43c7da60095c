from __future__ import annotations

import json
import uuid
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from crm.hooks.enums import DeliveryState, Event, PauseReason, Problem
from thanos.encryption import EncryptedJSONField, EncryptedTextField

# Events of a paused webhook wait this long to be sent after all. Later ones are not even written down.
KEEPS_WAITING = timedelta(days=3)


class WebhookEndpointQuerySet(models.QuerySet["WebhookEndpoint"]):
    def kept(self) -> WebhookEndpointQuerySet:
        """Those that were not deleted; their rows go a day later, when no open transaction can point at them."""
        return self.filter(deleted_at=None)

    def subscribed(self, event: Event, *, now: datetime) -> WebhookEndpointQuerySet:
        recently = Q(paused_at=None) | Q(paused_at__gt=now - KEEPS_WAITING)
        return self.kept().filter(recently, is_active=True, events__contains=[event])


class WebhookEndpoint(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # Encrypted, because many services put a key of their own into the address.
    url = EncryptedTextField()
    description = models.CharField(max_length=200, blank=True)
    events = ArrayField(models.CharField(max_length=30, choices=Event), default=list)
    is_active = models.BooleanField(default=True)
    secret = EncryptedTextField(editable=False)
    old_secret = EncryptedTextField(blank=True, editable=False)
    old_secret_until = models.DateTimeField(null=True, editable=False)

    paused_at = models.DateTimeField(null=True, editable=False)
    paused_reason = models.CharField(max_length=20, choices=PauseReason, blank=True, editable=False)
    failing_since = models.DateTimeField(null=True, editable=False)
    consecutive_failures = models.PositiveIntegerField(default=0, editable=False)
    resting_until = models.DateTimeField(null=True, editable=False)
    last_attempt_at = models.DateTimeField(null=True, editable=False)
    last_problem = models.CharField(max_length=20, choices=Problem, blank=True, editable=False)
    last_duration_ms = models.PositiveIntegerField(null=True, editable=False)

    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)
    deleted_at = models.DateTimeField(null=True, editable=False)

    objects: ClassVar[Any] = WebhookEndpointQuerySet.as_manager()

    class Meta:
        ordering = ["created_at", "id"]
        verbose_name = "webhook"

    def __str__(self) -> str:
        return self.description or f"Webhook {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("hooks:endpoint-detail", args=[self.pk])

    @property
    def is_paused(self) -> bool:
        return self.paused_at is not None

    @property
    def is_failing(self) -> bool:
        return self.failing_since is not None

    @property
    def event_labels(self) -> list[str]:
        return [str(Event(event).label) for event in self.events]

    def signing_keys(self, now: datetime) -> list[str]:
        """The secrets a receiver may check with: after a roll the old one too, for a day."""
        has_old = self.old_secret and self.old_secret_until is not None and self.old_secret_until > now
        return [self.secret, self.old_secret] if has_old else [self.secret]


class WebhookDeliveryQuerySet(models.QuerySet["WebhookDelivery"]):
    def due(self, now: datetime) -> WebhookDeliveryQuerySet:
        """Waiting ones whose time has come and that no living worker holds."""
        return self.filter(state=DeliveryState.PENDING, next_attempt_at__lte=now).unclaimed(now)

    def claimed(self, now: datetime) -> WebhookDeliveryQuerySet:
        return self.filter(claimed_until__gt=now)

    def unclaimed(self, now: datetime) -> WebhookDeliveryQuerySet:
        return self.filter(Q(claimed_until=None) | Q(claimed_until__lte=now))


class WebhookDelivery(models.Model):
    """One event for one receiver. Written in the transaction of what it tells, sent after its commit."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    endpoint = models.ForeignKey(WebhookEndpoint, models.CASCADE, related_name="deliveries")
    event = models.CharField(max_length=30, choices=Event)
    key = models.CharField(max_length=200, blank=True)
    payload = EncryptedJSONField()
    state = models.CharField(max_length=12, choices=DeliveryState, default=DeliveryState.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    attempts_before = models.PositiveIntegerField(default=0)  # those made before it was last sent again by hand
    next_attempt_at = models.DateTimeField(null=True, default=timezone.now)
    claimed_until = models.DateTimeField(null=True)
    last_status_code = models.PositiveSmallIntegerField(null=True)
    last_problem = models.CharField(max_length=20, choices=Problem, blank=True)
    response_excerpt = EncryptedTextField(blank=True)
    duration_ms = models.PositiveIntegerField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    objects: ClassVar[Any] = WebhookDeliveryQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        verbose_name_plural = "webhook deliveries"
        constraints = [
            models.UniqueConstraint(fields=["endpoint", "event", "key"], condition=~Q(key=""), name="webhook_once"),
        ]
        indexes = [
            models.Index(fields=["endpoint", "-created_at", "-id"], name="webhook_log"),
            models.Index(fields=["endpoint", "state", "-created_at", "-id"], name="webhook_log_state"),
            models.Index(
                fields=["endpoint", "next_attempt_at"], condition=Q(state=DeliveryState.PENDING), name="webhook_due"
            ),
            models.Index(fields=["endpoint"], condition=Q(claimed_until__isnull=False), name="webhook_claimed"),
            models.Index(fields=["created_at"], name="webhook_age"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("hooks:delivery-detail", args=[self.endpoint_id, self.pk])

    @property
    def is_waiting(self) -> bool:
        return self.state == DeliveryState.PENDING

    def body(self) -> bytes:
        """The same bytes at every attempt."""
        message = {
            "id": str(self.pk),
            "event": self.event,
            "created_at": self.created_at.isoformat(),
            "data": self.payload,
        }
        return json.dumps(message, separators=(",", ":")).encode()


class WebhookAttempt(models.Model):
    delivery = models.ForeignKey(WebhookDelivery, models.CASCADE, related_name="log")
    number = models.PositiveIntegerField()
    at = models.DateTimeField()
    status_code = models.PositiveSmallIntegerField(null=True)
    problem = models.CharField(max_length=20, choices=Problem, blank=True)
    duration_ms = models.PositiveIntegerField(null=True)
    response_excerpt = EncryptedTextField(blank=True)

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["delivery", "number"], name="webhook_attempt_number")]

    def __str__(self) -> str:
        return f"Attempt {self.number}"
