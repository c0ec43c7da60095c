from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone

from crm.email.enums import DomainState


class EmailDomain(models.Model):
    """A domain the organisation writes from. That no other organisation has it is kept in tenants.SendingDomain."""

    domain = models.CharField(max_length=253, unique=True)  # as DNS has it: lower case, IDN in its xn-- form
    state = models.CharField(max_length=12, choices=DomainState, default=DomainState.REGISTERING)
    provider_id = models.CharField(max_length=40, blank=True)
    # [{"key": "dkim1", "type": "CNAME", "host": "s1._domainkey.acme.com", "data": "…", "valid": null, "reason": ""}]
    records = models.JSONField(default=list)
    error = models.CharField(max_length=300, blank=True)
    checks = models.PositiveIntegerField(default=0)  # since it was entered, or asked for again: the pauses grow with them
    checked_at = models.DateTimeField(null=True)  # when the provider was last asked, whatever it answered
    next_check_at = models.DateTimeField(null=True)  # when the next step is due: registering, checking or removing
    claimed_until = models.DateTimeField(null=True)  # until then one worker has it; also what its claim is recognised by
    check_until = models.DateTimeField(null=True)  # 72 hours after it was entered, or asked for again
    verified_at = models.DateTimeField(null=True)
    # A verified one whose records have vanished: since when, and how often that was seen in a row.
    failing_since = models.DateTimeField(null=True)
    failures = models.PositiveSmallIntegerField(default=0)
    lost_at = models.DateTimeField(null=True)  # stays until it is verified again
    told_at = models.DateTimeField(null=True)  # owners and admins had an e-mail about the loss
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.DO_NOTHING, null=True, db_constraint=False, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[Any] = models.Manager()

    class Meta:
        ordering = ["created_at", "id"]
        verbose_name = "sending domain"
        indexes = [
            models.Index(fields=["next_check_at"], name="domain_due", condition=models.Q(next_check_at__isnull=False))
        ]

    def __str__(self) -> str:
        return self.domain

    def get_absolute_url(self) -> str:
        return reverse("email:domain", args=[self.pk])
