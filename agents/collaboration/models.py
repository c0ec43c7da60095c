from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone

from agents.collaboration.enums import Outcome, Stage, Trigger
from thanos.encryption import EncryptedTextField


class Collaboration(models.Model):
    """One time that specialists were to join a call: what began it, what the caller said to it, and what came of it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    call_id = models.UUIDField(db_index=True)  # of the room above
    trigger = models.CharField(max_length=12, choices=Trigger)
    complexity = models.FloatField(null=True)
    question = EncryptedTextField()
    stage = models.CharField(max_length=24, choices=Stage, default=Stage.REQUESTING_CONSENT)
    outcome = models.CharField(max_length=12, choices=Outcome, blank=True)
    consent_words = EncryptedTextField(blank=True)
    # [{"slug": …, "name": …, "version": …, "ms": …, "problem": …}], in the order they were chosen
    agents = models.JSONField(default=list)
    answer = EncryptedTextField(blank=True)
    input_tokens = models.PositiveIntegerField(null=True)  # None: not asked, or the provider does not say
    output_tokens = models.PositiveIntegerField(null=True)
    started_at = models.DateTimeField(default=timezone.now)
    asked_at = models.DateTimeField(null=True)
    consented_at = models.DateTimeField(null=True)
    worked_ms = models.PositiveIntegerField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["started_at"]
        indexes = [models.Index(fields=["started_at"], condition=models.Q(outcome=""), name="collaboration_open")]

    def __str__(self) -> str:
        return f"Collaboration {self.pk}"
