from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.utils import timezone

from crm.email.enums import SuppressionReason
from thanos.encryption import EncryptedTextField, blind_indexes


class SuppressionQuerySet(models.QuerySet["Suppression"]):
    def standing(self) -> SuppressionQuerySet:
        return self.filter(lifted_at=None)

    def for_address(self, address: str) -> SuppressionQuerySet:
        return self.filter(email_index__in=blind_indexes(address))


class Suppression(models.Model):
    """An address nobody of this organisation writes to any more, and why. Lifted ones stay, for the record."""

    email = EncryptedTextField()
    email_index = models.CharField(max_length=32)
    reason = models.CharField(max_length=12, choices=SuppressionReason)
    detail = models.CharField(max_length=200, blank=True)  # the receiving server's words; no personal data
    message = models.ForeignKey("EmailMessage", models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    lifted_at = models.DateTimeField(null=True)
    lifted_by = models.BigIntegerField(null=True)  # a user; None when the recipient did

    objects: ClassVar[Any] = SuppressionQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["email_index", "reason"], name="suppressed_once", condition=models.Q(lifted_at=None)
            )
        ]

    def __str__(self) -> str:
        return self.get_reason_display()
