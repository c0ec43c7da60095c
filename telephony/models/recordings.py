from __future__ import annotations

from datetime import date, timedelta

from django.db import models
from django.utils import timezone

from telephony.enums import RecordingKind, RecordingStatus


class Recording(models.Model):
    call = models.ForeignKey("telephony.Call", models.CASCADE, related_name="recordings")
    recording_sid = models.CharField(max_length=64, unique=True)
    kind = models.CharField(max_length=10, choices=RecordingKind, default=RecordingKind.CALL)
    status = models.CharField(max_length=12, choices=RecordingStatus, default=RecordingStatus.IN_PROGRESS)
    channels = models.PositiveSmallIntegerField(null=True)
    duration_s = models.PositiveIntegerField(null=True)
    file_name = models.CharField(max_length=200, blank=True)
    size_bytes = models.PositiveBigIntegerField(null=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    changed_at = models.DateTimeField(default=timezone.now, editable=False)
    stored_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["created_at"]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} recording {self.recording_sid}"

    @property
    def delete_on(self) -> date | None:
        """The line decides for how long, and may change its mind; a deleted line's recordings go at once."""
        if self.stored_at is None:
            return None
        line = self.call.line
        return timezone.localdate(self.stored_at) + timedelta(days=line.recording_retention_days if line else 0)

    @property
    def is_playable(self) -> bool:
        return self.status == RecordingStatus.STORED
