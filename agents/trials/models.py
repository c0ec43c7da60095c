from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone

from thanos.encryption import EncryptedJSONField, EncryptedTextField


class TrialState(models.TextChoices):
    WAITING = "waiting", "Waiting"
    RUNNING = "running", "Running"
    DONE = "done", "Done"


class Scenario(models.Model):
    name = models.CharField(max_length=120)
    text = EncryptedTextField()  # YAML; one made of a call holds what a caller said
    agent_slug = models.CharField(max_length=60, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.DO_NOTHING, null=True, editable=False, db_constraint=False, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    changed_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name", "pk"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("trials:scenario-detail", args=[self.pk])


class Trial(models.Model):
    """One conversation by a scenario with one version. Several of a batch show whether it always ends the same."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    batch = models.UUIDField(db_index=True)
    scenario = models.ForeignKey(Scenario, models.CASCADE, related_name="trials")
    version = models.ForeignKey("agents.AgentVersion", models.DO_NOTHING, null=True, db_constraint=False, related_name="+")
    version_number = models.PositiveIntegerField(null=True)  # None: the scenario's own prompt
    repeat = models.PositiveSmallIntegerField()
    state = models.CharField(max_length=10, choices=TrialState, default=TrialState.WAITING)
    passed = models.BooleanField(null=True)
    problem = models.CharField(max_length=60, blank=True)
    checks = models.JSONField(default=list)  # [{"text": …, "passed": …, "why": …}]
    transcript = EncryptedJSONField(null=True)  # [{"role": …, "text": …}], with {"tool": …, "arguments": …} among them
    turns = models.PositiveSmallIntegerField(null=True)
    duration_ms = models.PositiveIntegerField(null=True)
    input_tokens = models.PositiveIntegerField(null=True)
    output_tokens = models.PositiveIntegerField(null=True)
    claimed_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-created_at", "version_number", "repeat"]
        constraints = [
            models.UniqueConstraint(
                fields=["batch", "version_number", "repeat"], nulls_distinct=False, name="trial_once_a_batch"
            )
        ]

    def __str__(self) -> str:
        return f"Trial {self.pk}"

    @property
    def is_over(self) -> bool:
        return self.state == TrialState.DONE
