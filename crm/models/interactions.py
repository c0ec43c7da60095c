from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone

from crm.enums import TASK_KINDS, InteractionKind
from crm.models.contacts import Contact
from thanos.encryption import EncryptedTextField

OPEN_TASK = models.Q(kind__in=TASK_KINDS, done_at=None)
FREE = models.Q(contact=None, user=None)  # nobody's yet: shown to everybody


class InteractionQuerySet(models.QuerySet["Interaction"]):
    def open_tasks(self) -> InteractionQuerySet:
        # Asked the other way round, the few in the bin are looked at instead of every task's contact.
        binned = Contact.objects.filter(pk=models.OuterRef("contact"), deleted_at__isnull=False)
        return self.filter(OPEN_TASK).exclude(models.Exists(binned))


class Interaction(models.Model):
    """Something that happened with a contact, or is to be done."""

    # A task may have none: a message of somebody who cannot be named is for whoever looks at the list first.
    contact = models.ForeignKey(Contact, models.CASCADE, null=True, blank=True, related_name="interactions")
    kind = models.CharField(max_length=10, choices=InteractionKind, default=InteractionKind.NOTE)
    subject = models.CharField(max_length=200, blank=True)
    content = EncryptedTextField(blank=True)
    interaction_date = models.DateTimeField("when", default=timezone.now)
    # Whoever did it, or is to do it.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.DO_NOTHING, null=True, blank=True, db_constraint=False, related_name="+"
    )
    metadata = models.JSONField(default=dict, blank=True, editable=False)
    due_on = models.DateField(null=True, blank=True)
    done_at = models.DateTimeField(null=True, blank=True, editable=False)
    remind_at = models.DateTimeField("reminder", null=True, blank=True)
    reminded_at = models.DateTimeField(null=True, editable=False)
    # What it came from ("call:…", "tool:…"), so that the same news twice is one entry.
    natural_key = models.CharField(max_length=120, null=True, unique=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    objects: ClassVar[Any] = InteractionQuerySet.as_manager()

    class Meta:
        ordering = ["-interaction_date", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(contact__isnull=False) | models.Q(kind__in=TASK_KINDS), name="interaction_has_a_contact"
            )
        ]
        indexes = [
            models.Index(fields=["contact", "-interaction_date", "-id"], name="interaction_timeline"),
            models.Index(fields=["-interaction_date", "-id"], name="interaction_newest"),
            models.Index(fields=["due_on", "id"], name="interaction_open_task", condition=OPEN_TASK),
            models.Index(
                fields=["user", "due_on"], include=["contact", "id"], name="interaction_own_task", condition=OPEN_TASK
            ),
            models.Index(fields=["due_on", "id"], name="interaction_free_task", condition=OPEN_TASK & FREE),
            models.Index(
                fields=["remind_at"],
                name="interaction_reminder",
                condition=models.Q(remind_at__isnull=False, reminded_at=None),
            ),
        ]

    def __str__(self) -> str:
        return self.subject or self.get_kind_display()

    def get_absolute_url(self) -> str:
        if self.contact_id is None:
            return reverse("crm:interaction-edit", args=[self.pk])
        return f"{reverse('crm:contact-detail', args=[self.contact_id])}#interaction-{self.pk}"

    @property
    def is_task(self) -> bool:
        return self.kind in TASK_KINDS

    @property
    def is_open_task(self) -> bool:
        return self.is_task and self.done_at is None


class Attachment(models.Model):
    """A file somebody attached. Sealed before it reaches the disk, in the tenant's folder."""

    interaction = models.ForeignKey(Interaction, models.CASCADE, related_name="attachments")
    name = models.CharField(max_length=200)
    content_type = models.CharField(max_length=100)
    size = models.PositiveIntegerField(help_text="Bytes.")
    path = models.CharField(max_length=200)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.DO_NOTHING, null=True, db_constraint=False, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("crm:attachment", args=[self.pk])
