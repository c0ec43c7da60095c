from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from crm.email.enums import OPEN_STATES, BatchState, MessageState, SkipReason
from crm.email.models.mailings import Mailing
from crm.email.models.templates import EmailTemplateVersion
from crm.models import Contact
from thanos.encryption import EncryptedJSONField, EncryptedTextField


class SendBatch(models.Model):
    """One request to the provider, and what is known of its fate. Written before it is made."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    mailing = models.ForeignKey(Mailing, models.CASCADE, null=True, related_name="batches")
    provider = models.CharField(max_length=12)  # "sendgrid" or "smtp"
    state = models.CharField(max_length=10, choices=BatchState, default=BatchState.CLAIMED)
    size = models.PositiveIntegerField(default=0)
    provider_id = models.CharField(max_length=120, blank=True)  # X-Message-Id, which begins each event's sg_message_id
    status_code = models.PositiveSmallIntegerField(null=True)
    error = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    asked_at = models.DateTimeField(
        null=True
    )  # set and committed just before the request: from here on it may have happened
    settled_at = models.DateTimeField(null=True)
    logged_at = models.DateTimeField(null=True)  # its messages are on their contacts' timelines

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(
                fields=["created_at"],
                name="batch_unsettled",
                condition=Q(state__in=(BatchState.CLAIMED, BatchState.ASKED, BatchState.UNKNOWN)),
            ),
            models.Index(
                fields=["settled_at"], name="batch_unlogged", condition=Q(state=BatchState.ACCEPTED, logged_at=None)
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)


class EmailMessage(models.Model):
    """One e-mail to one recipient: what it says is fixed here, so that later edits change nothing that is queued."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)  # travels as a custom argument
    # Where it comes from; all None for one written by hand to one contact.
    mailing = models.ForeignKey(Mailing, models.CASCADE, null=True, related_name="messages")
    enrolment = models.ForeignKey("Enrolment", models.CASCADE, null=True, related_name="messages")
    step = models.ForeignKey("SequenceStep", models.CASCADE, null=True, related_name="messages")
    contact = models.ForeignKey(Contact, models.SET_NULL, null=True, related_name="emails")
    to_email = EncryptedTextField(blank=True)
    email_index = models.CharField(max_length=32, blank=True)
    to_name = EncryptedTextField(blank=True)
    # A template's version with the values of this recipient; or, written by hand, the finished words.
    version = models.ForeignKey(EmailTemplateVersion, models.PROTECT, null=True, related_name="+")
    values = EncryptedJSONField(null=True)  # {"contact_name": "Ann", …}: what the version's variables are for them
    subject = EncryptedTextField(blank=True)
    html = EncryptedTextField(blank=True)
    text = EncryptedTextField(blank=True)
    user = models.BigIntegerField(null=True)  # who wrote it by hand
    in_reply_to = models.CharField(max_length=300, blank=True)  # the Message-ID of the e-mail it answers
    from_email = models.CharField(max_length=254, blank=True)
    from_name = models.CharField(max_length=120, blank=True)
    reply_to = models.CharField(max_length=254, blank=True)
    is_bulk = models.BooleanField(default=True)  # carries an unsubscribe link; a letter to one person need not
    # Of messages outside of mailings, which have these of their own.
    footer_html = models.TextField(blank=True)
    track_opens = models.BooleanField(default=False)
    track_clicks = models.BooleanField(default=False)

    state = models.CharField(max_length=10, choices=MessageState, default=MessageState.QUEUED)
    skip_reason = models.CharField(max_length=16, choices=SkipReason, blank=True)
    not_before = models.DateTimeField(default=timezone.now)
    attempts = models.PositiveSmallIntegerField(default=0)  # definite refusals that may be tried again
    batch = models.ForeignKey(SendBatch, models.SET_NULL, null=True, related_name="messages")
    error = models.CharField(max_length=300, blank=True)  # the provider's or the receiving server's words
    queued_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True)

    # Facts from events. Each is the earliest of its kind, whatever order they came in.
    delivered_at = models.DateTimeField(null=True)
    opened_at = models.DateTimeField(null=True)
    clicked_at = models.DateTimeField(null=True)
    bounced_at = models.DateTimeField(null=True)
    spam_at = models.DateTimeField(null=True)
    unsubscribed_at = models.DateTimeField(null=True)
    replied_at = models.DateTimeField(null=True)
    open_count = models.PositiveIntegerField(default=0)  # by people, as far as can be told
    click_count = models.PositiveIntegerField(default=0)

    objects: ClassVar[Any] = models.Manager()

    class Meta:
        ordering = ["-queued_at", "-id"]
        constraints = [
            models.UniqueConstraint(fields=["mailing", "contact"], name="message_once_a_mailing"),
            models.UniqueConstraint(
                fields=["mailing", "email_index"],
                name="address_once_a_mailing",
                condition=~Q(email_index="") & ~Q(state=MessageState.SKIPPED),
            ),
            models.UniqueConstraint(fields=["enrolment", "step"], name="message_once_a_step"),
        ]
        indexes = [
            models.Index(fields=["not_before", "id"], name="message_open", condition=Q(state__in=OPEN_STATES)),
            models.Index(fields=["mailing", "state", "id"], name="message_mailing_state"),
            models.Index(F("contact"), F("queued_at").desc(), name="message_contact"),
            models.Index(fields=["email_index"], name="message_address", condition=~Q(email_index="")),
        ]

    def __str__(self) -> str:
        return f"{self.pk} ({self.get_state_display()})"
