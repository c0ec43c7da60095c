"""What was done to many contacts, or to two, and how to take it back."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone

from crm.enums import JobKind, JobState
from crm.models.contacts import Contact
from thanos.encryption import EncryptedJSONField


class ContactJob(models.Model):
    """One change to a selection of contacts, carried out piece by piece in the background."""

    kind = models.CharField(max_length=12, choices=JobKind)
    parameters = models.JSONField(default=dict)
    # Either the contacts by id, or everything the list's address showed.
    contact_ids = models.JSONField(null=True)
    query = models.CharField(max_length=2000, blank=True)
    state = models.CharField(max_length=10, choices=JobState, default=JobState.QUEUED)
    total = models.PositiveIntegerField(null=True)
    done = models.PositiveIntegerField(default=0)
    skipped = models.PositiveIntegerField(default=0)  # changed meanwhile, when undoing
    cursor = models.BigIntegerField(default=0)  # the id of the last contact dealt with
    error = models.CharField(max_length=200, blank=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.DO_NOTHING, null=True, db_constraint=False, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    touched_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} ({self.get_state_display()})"

    def get_absolute_url(self) -> str:
        return reverse("crm:job", args=[self.pk])

    @property
    def is_running(self) -> bool:
        return self.state in (JobState.QUEUED, JobState.RUNNING, JobState.UNDOING)

    @property
    def can_be_undone(self) -> bool:
        return self.state in (JobState.DONE, JobState.CANCELED) and self.done > 0


class ContactChange(models.Model):
    """How one contact was before a job or an import changed it. `version` is the contact's after the change."""

    job = models.ForeignKey(ContactJob, models.CASCADE, null=True, related_name="changes")
    import_id = models.BigIntegerField(null=True)
    contact_id = models.BigIntegerField()
    before = EncryptedJSONField(null=True)
    version = models.PositiveIntegerField()

    objects: ClassVar[Any] = models.Manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["job", "contact_id"], name="change_once_a_job"),
            models.UniqueConstraint(fields=["import_id", "contact_id"], name="change_once_an_import"),
            models.CheckConstraint(
                condition=models.Q(job__isnull=False) ^ models.Q(import_id__isnull=False), name="change_has_a_cause"
            ),
        ]

    def __str__(self) -> str:
        return f"contact {self.contact_id}"


class MergeRecord(models.Model):
    """Two contacts became one. What is needed to part them again is kept as long as that is offered."""

    kept = models.ForeignKey(Contact, models.CASCADE, related_name="merges")
    merged = models.ForeignKey(Contact, models.CASCADE, related_name="+")
    before = EncryptedJSONField()  # the kept contact's fields that the merge changed
    moved: Any = models.JSONField(default=dict)  # {"interactions": [ids], and what other rooms moved}
    version = models.PositiveIntegerField()  # the kept contact's after the merge
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.DO_NOTHING, null=True, db_constraint=False, related_name="+")
    merged_at = models.DateTimeField(default=timezone.now)
    undone_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-merged_at"]

    def __str__(self) -> str:
        return f"{self.merged_id} into {self.kept_id}"
