from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex, GistIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.urls import reverse
from django.utils import timezone

from agents.knowledge.enums import Kind, Language, State
from agents.knowledge.lexemes import VERSION


class DocumentQuerySet(models.QuerySet["Document"]):
    def silent(self, now: Any) -> DocumentQuerySet:
        """Those that are to be read, and that no living worker reads."""
        free = models.Q(claimed_until=None) | models.Q(claimed_until__lte=now)
        return self.filter(free, state__in=[State.WAITING, State.READING])

    def readable(self) -> DocumentQuerySet:
        """Those whose newest reading went well, whole or in part."""
        return self.filter(state__in=[State.READY, State.PARTLY])

    def outdated(self) -> DocumentQuerySet:
        """Those that an older version of the product read, which are found less well."""
        return self.readable().filter(index_version__lt=VERSION)


class Document(models.Model):
    """What was handed in. Its passages are of its newest reading that went well; a change waits to be read anew."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    title = models.CharField(max_length=200)
    kind = models.CharField(max_length=10, choices=Kind)
    language = models.CharField(max_length=12, choices=Language, default=Language.ENGLISH)
    is_active = models.BooleanField("used by agents", default=True)

    file_name = models.CharField(max_length=200, blank=True)
    path = models.CharField(max_length=200, blank=True, editable=False)  # sealed, in the tenant's folder
    size = models.PositiveIntegerField(null=True, editable=False)  # bytes
    text = models.TextField(blank=True)
    questions = models.JSONField(default=list, blank=True)  # [{"question": …, "answer": …}]

    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    problem = models.CharField(max_length=300, blank=True)
    warning = models.CharField(max_length=600, blank=True)  # what of it was not read, or hardly rightly
    revision = models.PositiveIntegerField(default=1)  # of what was handed in
    read_revision = models.PositiveIntegerField(default=0)  # of what the passages are of
    claimed_until = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)  # passages, while it is being read
    total = models.PositiveIntegerField(null=True)
    passage_count = models.PositiveIntegerField(default=0)  # of those that can be found now
    index_version = models.PositiveSmallIntegerField(default=0, editable=False)  # of lexemes.VERSION when it was read
    vector_model = models.CharField(max_length=80, blank=True)  # what its vectors were made by; empty: it has none
    vector_count = models.PositiveIntegerField(default=0, editable=False)  # of its first passages, which have theirs

    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.DO_NOTHING, null=True, editable=False, db_constraint=False, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    changed_at = models.DateTimeField(default=timezone.now, editable=False)
    read_at = models.DateTimeField(null=True, editable=False)

    objects: ClassVar[Any] = DocumentQuerySet.as_manager()

    class Meta:
        ordering = ["title", "pk"]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("knowledge:document-detail", args=[self.pk])

    @property
    def is_busy(self) -> bool:
        return self.state in (State.WAITING, State.READING)

    @property
    def percent(self) -> int | None:
        return None if not self.total else min(100, round(100 * self.done / self.total))


class Passage(models.Model):
    document = models.ForeignKey(Document, models.CASCADE, related_name="passages")
    position = models.PositiveIntegerField()
    heading = models.CharField(max_length=300, blank=True)
    place = models.CharField(max_length=60, blank=True)  # where in the document, such as "page 3"
    text = models.TextField()
    search = SearchVectorField()

    class Meta:
        ordering = ["document", "position"]
        constraints = [models.UniqueConstraint(fields=["document", "position"], name="passage_position")]
        indexes = [GinIndex(fields=["search"], name="passage_search", fastupdate=False)]

    def __str__(self) -> str:
        return f"{self.document}, passage {self.position}"


class Word(models.Model):
    """Every word that stands in some passage, for finding what somebody misspelled. Words of deleted passages stay."""

    word = models.CharField(max_length=40, primary_key=True)

    class Meta:
        # GiST, because it gives the most similar ones in order; GIN would look at all that share a piece.
        indexes = [GistIndex(fields=["word"], name="word_trigrams", opclasses=["gist_trgm_ops(siglen=512)"])]

    def __str__(self) -> str:
        return self.word
