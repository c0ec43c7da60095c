from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.core.validators import MaxValueValidator
from django.db import models
from django.urls import reverse
from django.utils import timezone

from crm.email.enums import EnrolmentState, Otherwise, SkipReason, StepCondition
from crm.email.models.templates import EmailTemplate
from crm.enums import JobState, Status
from crm.models import Contact

LONGEST_WAIT_H = 24 * 365


class SequenceQuerySet(models.QuerySet["Sequence"]):
    def kept(self) -> SequenceQuerySet:
        return self.filter(deleted_at=None)


class Sequence(models.Model):
    """E-mails one after the other, until the recipient answers or has enough."""

    name = models.CharField(max_length=120)
    is_active = models.BooleanField("active", default=False, help_text="Nothing is sent while it is not.")
    stop_on_reply = models.BooleanField("ends when they answer", default=True)
    version = models.PositiveIntegerField(default=1, editable=False)  # counts changes, so that two people's do not mix
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    deleted_at = models.DateTimeField(null=True, editable=False)

    objects: ClassVar[Any] = SequenceQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("email:sequence", args=[self.pk])


class SequenceStepQuerySet(models.QuerySet["SequenceStep"]):
    def standing(self) -> SequenceStepQuerySet:
        return self.filter(removed_at=None)


class SequenceStep(models.Model):
    """Wait, look, send. Taken out of a sequence, a step stays for the messages that came from it.

    Positions order all steps, those taken out among them, so that whoever stands at one knows where to go on.
    """

    sequence = models.ForeignKey(Sequence, models.CASCADE, related_name="steps")
    position = models.PositiveIntegerField()
    wait_hours = models.PositiveIntegerField(validators=[MaxValueValidator(LONGEST_WAIT_H)])
    template = models.ForeignKey(EmailTemplate, models.PROTECT, related_name="+")
    condition = models.CharField(max_length=14, choices=StepCondition, default=StepCondition.ALWAYS)
    status = models.CharField(max_length=12, choices=Status, blank=True)
    otherwise = models.CharField(max_length=6, choices=Otherwise, default=Otherwise.SKIP)
    removed_at = models.DateTimeField(null=True, editable=False)

    objects: ClassVar[Any] = SequenceStepQuerySet.as_manager()

    class Meta:
        ordering = ["position", "id"]

    def __str__(self) -> str:
        return f"{self.sequence_id}.{self.position}"


class Enrolment(models.Model):
    """One contact on its way through a sequence."""

    sequence = models.ForeignKey(Sequence, models.CASCADE, related_name="enrolments")
    contact = models.ForeignKey(Contact, models.CASCADE, related_name="+")
    state = models.CharField(max_length=12, choices=EnrolmentState, default=EnrolmentState.ACTIVE)
    status = models.CharField(max_length=12, choices=Status, blank=True)  # the contact's when it was enrolled
    next_step = models.ForeignKey(SequenceStep, models.SET_NULL, null=True, related_name="+")
    due_at = models.DateTimeField(null=True)  # when the next step is looked at; None when there is none
    enrolled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.DO_NOTHING, null=True, db_constraint=False, related_name="+"
    )
    enrolled_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)

    objects: ClassVar[Any] = models.Manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            # Once through a sequence, whatever became of it: enrolling twice must not send everything twice.
            models.UniqueConstraint(fields=["sequence", "contact"], name="enrolled_once"),
        ]
        indexes = [
            models.Index(fields=["due_at"], name="enrolment_due", condition=models.Q(state=EnrolmentState.ACTIVE)),
            models.Index(fields=["sequence", "state", "-id"], name="enrolment_list"),
        ]

    def __str__(self) -> str:
        return f"contact {self.contact_id} in {self.sequence_id}"


class Passing(models.TextChoices):
    """What became of a step when its time had come."""

    QUEUED = "queued", "Written"  # there is a message, which knows the rest
    SKIPPED = "skipped", "Skipped"  # its condition did not hold


class StepPassage(models.Model):
    """One enrolment has one step behind it: no step is dealt with twice, however the steps are moved about."""

    enrolment = models.ForeignKey(Enrolment, models.CASCADE, related_name="passages")
    step = models.ForeignKey(SequenceStep, models.CASCADE, related_name="passages")
    outcome = models.CharField(max_length=8, choices=Passing)
    at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[Any] = models.Manager()

    class Meta:
        ordering = ["at", "id"]
        constraints = [models.UniqueConstraint(fields=["enrolment", "step"], name="passed_once")]

    def __str__(self) -> str:
        return f"{self.enrolment_id} at {self.step_id}: {self.outcome}"


class EnrolJob(models.Model):
    """Many contacts being enrolled, in pieces; `cursor` is how far it came."""

    sequence = models.ForeignKey(Sequence, models.CASCADE, related_name="jobs")
    # Either the contacts by id, or everything the list's address shows when a piece is carried out.
    contact_ids = models.JSONField(null=True)
    query = models.CharField(max_length=2000, blank=True)
    newest = models.BigIntegerField()  # the newest contact's id when it was started: later ones are not meant
    start_at = models.DateTimeField(null=True)  # the first step's wait begins then; None: when they are enrolled
    state = models.CharField(max_length=10, choices=JobState, default=JobState.QUEUED)
    cursor = models.BigIntegerField(default=0)  # the id of the last contact dealt with
    total = models.PositiveIntegerField(null=True)
    enrolled = models.PositiveIntegerField(default=0)
    known = models.PositiveIntegerField(default=0)  # had been enrolled before
    error = models.CharField(max_length=200, blank=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.DO_NOTHING, null=True, db_constraint=False, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    touched_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    objects: ClassVar[Any] = models.Manager()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.pk} ({self.get_state_display()})"

    def get_absolute_url(self) -> str:
        return reverse("email:sequence-job", args=[self.sequence_id, self.pk])

    @property
    def is_running(self) -> bool:
        return self.state in (JobState.QUEUED, JobState.RUNNING)


class LeftOut(models.Model):
    """A contact that was chosen and not enrolled, and why."""

    job = models.ForeignKey(EnrolJob, models.CASCADE, related_name="left_out")
    contact = models.ForeignKey(Contact, models.CASCADE, related_name="+")
    reason = models.CharField(max_length=16, choices=SkipReason)

    objects: ClassVar[Any] = models.Manager()

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["job", "contact"], name="left_out_once")]

    def __str__(self) -> str:
        return f"{self.contact_id}: {self.get_reason_display()}"
