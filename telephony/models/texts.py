from __future__ import annotations

from django.db import models
from django.utils import timezone

from telephony.enums import TextState
from thanos.encryption import EncryptedTextField


class TextMessage(models.Model):
    """A text message an agent sent in a call. The row comes first: one that may have been sent is not sent again."""

    call = models.ForeignKey("telephony.Call", models.CASCADE, related_name="texts")
    key = models.CharField(max_length=16)  # of what it says
    text = EncryptedTextField()
    state = models.CharField(max_length=10, choices=TextState, default=TextState.SENDING)
    message_sid = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["created_at"]
        constraints = [models.UniqueConstraint(fields=["call", "key"], name="text_once")]

    def __str__(self) -> str:
        return f"Text message {self.pk}"
