from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from crm.email.enums import EventKind
from crm.email.models.messages import EmailMessage
from crm.models import Contact, Interaction
from thanos.encryption import EncryptedJSONField, EncryptedTextField


class EmailEvent(models.Model):
    """News of a message from the provider, as it came; applied to the message a little later, in any order."""

    provider_event_id = models.CharField(max_length=120, unique=True)  # sg_event_id: the same news comes more than once
    message_id = models.UUIDField()  # no foreign key: news may come for messages that are gone
    kind = models.CharField(max_length=12, choices=EventKind)
    at = models.DateTimeField()
    detail = EncryptedJSONField(null=True)  # reason, status, url, useragent, …
    is_machine = models.BooleanField(default=False)  # a prefetching proxy or a scanner rather than a person
    received_at = models.DateTimeField(default=timezone.now)
    applied_at = models.DateTimeField(null=True)

    objects: ClassVar[Any] = models.Manager()

    class Meta:
        ordering = ["at", "id"]
        indexes = [
            models.Index(fields=["message_id", "at"], name="event_message"),
            models.Index(fields=["message_id", "id"], name="event_unapplied", condition=Q(applied_at=None)),
        ]

    def __str__(self) -> str:
        return self.get_kind_display()


class InboundEmail(models.Model):
    """An answer that came in: everything in it is the sender's claim."""

    provider_id = models.CharField(max_length=64, unique=True)  # a digest of the message's own id, or of all of it
    header_id = models.CharField(max_length=300, blank=True)  # its own Message-ID, for an answer to name
    message = models.ForeignKey(EmailMessage, models.SET_NULL, null=True, related_name="replies")
    contact = models.ForeignKey(Contact, models.SET_NULL, null=True, related_name="+")
    interaction = models.ForeignKey(Interaction, models.SET_NULL, null=True, related_name="+")
    from_email = EncryptedTextField()
    from_index = models.CharField(max_length=32)
    subject = EncryptedTextField(blank=True)
    text = EncryptedTextField(blank=True)
    is_authenticated = models.BooleanField(default=False)  # DKIM or SPF passed for the sender's domain
    is_automatic = models.BooleanField(default=False)  # an out-of-office note and the like: no reply of a person
    received_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-received_at", "-id"]

    def __str__(self) -> str:
        return f"answer {self.pk}"
