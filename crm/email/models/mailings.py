from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone

from crm.email.enums import MailingState, PauseReason, SendWhen
from crm.email.models.templates import EmailTemplateVersion


class Mailing(models.Model):
    """One template sent to many contacts. Its recipients are EmailMessage rows from the moment it is prepared."""

    name = models.CharField(max_length=120)
    version = models.ForeignKey(EmailTemplateVersion, models.PROTECT, related_name="+")
    # Either the contacts by id, or everything the list's address shows when it is prepared.
    contact_ids = models.JSONField(null=True)
    query = models.CharField(max_length=2000, blank=True)
    skip_empty_values = models.BooleanField("leave out who lacks a value the text prints", default=True)
    when = models.CharField(max_length=8, choices=SendWhen, default=SendWhen.NOW)
    send_at = models.DateTimeField(null=True, blank=True)  # AT: the moment; MORNING: the day's beginning (tenant's zone)
    # Fixed when it starts.
    from_email = models.CharField(max_length=254, blank=True)
    from_name = models.CharField(max_length=120, blank=True)
    reply_to = models.CharField(max_length=254, blank=True)
    footer_html = models.TextField(blank=True)  # put under the text, which has no unsubscribe link of its own
    track_opens = models.BooleanField(default=False)
    track_clicks = models.BooleanField(default=False)

    state = models.CharField(max_length=10, choices=MailingState, default=MailingState.DRAFT)
    pause_reason = models.CharField(max_length=12, choices=PauseReason, blank=True)
    error = models.CharField(max_length=300, blank=True)
    newest = models.BigIntegerField(null=True)  # the newest contact's id when it was started: later ones are not meant
    cursor = models.BigIntegerField(default=0)  # preparing: the id of the last contact dealt with
    touched_at = models.DateTimeField(default=timezone.now)  # by whichever worker prepares or sends
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.DO_NOTHING, null=True, db_constraint=False, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    prepared_at = models.DateTimeField(null=True)  # from here on the messages say who receives it, and who does not
    finished_at = models.DateTimeField(null=True)

    objects: ClassVar[Any] = models.Manager()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("email:mailing", args=[self.pk])

    @property
    def text_version(self) -> EmailTemplateVersion:
        """What is sent: of a draft its template's newest version, which is fixed when it is started."""
        newest: EmailTemplateVersion | None = self.version.template.current
        return newest if newest is not None and self.state == MailingState.DRAFT else self.version
