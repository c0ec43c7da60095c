from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone


class EmailTemplateQuerySet(models.QuerySet["EmailTemplate"]):
    def kept(self) -> EmailTemplateQuerySet:
        return self.filter(deleted_at=None)

    def usable(self) -> EmailTemplateQuerySet:
        return self.kept().filter(is_active=True)


class EmailTemplate(models.Model):
    """A text to write to contacts with, in Jinja2. What it says is in its versions; the newest one counts."""

    name = models.CharField(max_length=120)
    # "welcome", "follow-up", "invoice-reminder": the ones every organisation starts with, and what finds them again.
    key = models.SlugField(max_length=40, null=True, blank=True, unique=True, editable=False)
    is_active = models.BooleanField("active", default=True)
    current = models.ForeignKey("EmailTemplateVersion", models.PROTECT, null=True, editable=False, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)
    deleted_at = models.DateTimeField(null=True, editable=False)

    objects: ClassVar[Any] = EmailTemplateQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        verbose_name = "e-mail template"

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("email:template-edit", args=[self.pk])


class EmailTemplateVersion(models.Model):
    """A template as it was saved once. Never changed: what is being sent refers to it."""

    template = models.ForeignKey(EmailTemplate, models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    subject = models.CharField(max_length=400)
    html = models.TextField()
    text = models.TextField(blank=True, help_text="Left empty, it is made from the HTML.")
    variables = models.JSONField(default=list)  # the names found in the three, sorted
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.DO_NOTHING, null=True, db_constraint=False, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["template", "number"], name="template_version_once")]

    def __str__(self) -> str:
        return f"{self.template_id} v{self.number}"
