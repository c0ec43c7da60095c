from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone

from crm.imports.enums import BUSY, FileKind, ImportState, OnDuplicate, OnShared, Outcome
from thanos.encryption import EncryptedJSONField

KEPT_FOR = timedelta(days=30)  # the file, the bad rows, and the offer to undo


class ContactImport(models.Model):
    """One file of contacts, from its upload to its undoing. Its columns say where a worker has to go on."""

    state = models.CharField(max_length=10, choices=ImportState, default=ImportState.UPLOADED)
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=4, choices=FileKind)
    path = models.CharField(max_length=200, blank=True)  # sealed (crm.imports.sealed); empty once it is deleted
    size = models.PositiveBigIntegerField()

    # How the file is read; guessed at the upload, changed by people.
    encoding = models.CharField(max_length=20, blank=True)
    # Other encodings the text may have; while it is not sure which, nothing is imported before somebody has said so.
    rivals: Any = models.JSONField(default=list)
    encoding_is_sure = models.BooleanField(default=True)
    delimiter = models.CharField(max_length=1, blank=True)
    sheet = models.CharField(max_length=100, blank=True)
    sheets: Any = models.JSONField(default=list)
    header_row = models.PositiveIntegerField(null=True)  # 1 is the file's first row; NULL: it has no header
    headers: Any = models.JSONField(default=list)
    filled: Any = models.JSONField(default=list)  # the columns with something in them, as far as the first rows tell
    preset = models.CharField(max_length=20, blank=True)  # the program that wrote the file (crm.imports.vocabulary)
    mapping: Any = models.JSONField(default=list)  # a target for each column (crm.imports.mapping); "" ignores it
    day_format = models.CharField(max_length=20, blank=True)  # said by a person; otherwise each column is decided
    decimal_mark = models.CharField(max_length=1, blank=True)  # likewise
    region = models.CharField(max_length=2, blank=True)
    # What the import does.
    on_duplicate = models.CharField("duplicates", max_length=6, choices=OnDuplicate, default=OnDuplicate.SKIP)
    on_shared = models.CharField(max_length=6, choices=OnShared, default=OnShared.CREATE)
    defaults: Any = models.JSONField(default=dict)  # status, source, owner (an id), tags

    # How the days and numbers of a column are meant, by its position: decided by the check from all of its cells.
    decided: Any = models.JSONField(null=True)
    answers = EncryptedJSONField(null=True)  # {"words": {target: {word: meaning}}}, as people answered
    findings = EncryptedJSONField(null=True)  # what the check has to say and to ask (crm.imports.surveying)
    checked: Any = models.JSONField(null=True)  # what the check counted, by Outcome, where known contacts are updated
    problems = EncryptedJSONField(null=True)  # the first bad rows the check met: [[row, reason], …]
    total = models.PositiveBigIntegerField(null=True)  # rows with anything in them
    progress = models.FloatField(default=0)  # of what is under way, 0 to 1
    # The row behind the last committed chunk. It moves in the transaction that writes the chunk's rows.
    cursor = models.PositiveBigIntegerField(default=0)
    created = models.PositiveBigIntegerField(default=0)
    updated = models.PositiveBigIntegerField(default=0)
    unchanged = models.PositiveBigIntegerField(default=0)
    skipped = models.PositiveBigIntegerField(default=0)
    duplicates = models.PositiveBigIntegerField(default=0)
    bad = models.PositiveBigIntegerField(default=0)
    unread = models.PositiveBigIntegerField(default=0)  # cells left out of rows that were imported
    undone = models.PositiveBigIntegerField(default=0)
    kept = models.PositiveBigIntegerField(default=0)  # changed by somebody since, so not undone
    error = models.CharField(max_length=400, blank=True)

    # Which worker is at it and when it last showed up: another takes over when it is silent for too long.
    runner = models.CharField(max_length=32, blank=True)
    heartbeat_at = models.DateTimeField(null=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.DO_NOTHING, null=True, db_constraint=False, related_name="+")
    uploaded_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects: ClassVar[Any] = models.Manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = "import"
        indexes = [models.Index(fields=["state"], name="import_busy", condition=models.Q(state__in=[str(s) for s in BUSY]))]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("imports:detail", args=[self.pk])

    @property
    def is_busy(self) -> bool:
        return self.state in BUSY

    @property
    def percent(self) -> int:
        return int(min(max(self.progress, 0.0), 1.0) * 100)

    @property
    def can_be_undone(self) -> bool:
        fresh = self.finished_at is not None and self.finished_at > timezone.now() - KEPT_FOR
        return fresh and self.state in (ImportState.DONE, ImportState.CANCELED, ImportState.FAILED) and self.wrote > 0

    @property
    def counts_by_mode(self) -> dict[str, dict[str, int]]:
        """What the check counted, by what would happen with known contacts (OnDuplicate), by Outcome."""
        found: dict[str, dict[str, int]] = (self.findings or {}).get("by_mode", {})
        return found

    @property
    def wrote(self) -> int:
        return self.created + self.updated

    @property
    def counts(self) -> dict[str, int]:
        """Rows by what became of them. Their sum is the number of rows dealt with."""
        return {str(outcome): getattr(self, outcome) for outcome in Outcome}


class BadRow(models.Model):
    """A row that was left out, or imported without some cells, with all its cells and the reason, to be mended."""

    contact_import = models.ForeignKey(ContactImport, models.CASCADE, related_name="bad_rows")
    number = models.PositiveBigIntegerField()
    was_imported = models.BooleanField(default=False)  # all but the cells the reason names
    content = EncryptedJSONField()  # {"reason": …, "cells": […]}

    objects: ClassVar[Any] = models.Manager()

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["contact_import", "number"], name="bad_row_once")]

    def __str__(self) -> str:
        return f"row {self.number}"


class KnownHeader(models.Model):
    """What a person said that a column of this name is, so that the next file needs no explaining.

    Only that: neither what was guessed, nor that a column was left out, nor which of two of one name lost.
    """

    header = models.CharField(max_length=120, primary_key=True)  # normalised (crm.imports.mapping)
    target = models.CharField(max_length=60)
    used_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[Any] = models.Manager()

    def __str__(self) -> str:
        return self.header
