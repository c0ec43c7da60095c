from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone


class SavedView(models.Model):
    """A list somebody wants to see again: everything about it is in the address."""

    name = models.CharField(max_length=80)
    query = models.CharField(max_length=2000, blank=True)
    layout = models.CharField(max_length=10, default="table")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.DO_NOTHING, db_constraint=False, related_name="+")
    is_shared = models.BooleanField("shared", default=False, help_text="Everybody who manages contacts sees it.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name", "id"]
        constraints = [models.UniqueConstraint(fields=["user", "name"], name="view_name")]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        page = "crm:contact-board" if self.layout == "board" else "crm:contact-list"
        layout = "layout=cards" if self.layout == "cards" else ""
        query = "&".join(filter(None, (layout, self.query)))
        return reverse(page) + (f"?{query}" if query else "")

    @classmethod
    def visible_to(cls, user: Any) -> models.QuerySet[SavedView]:
        return cls._default_manager.filter(models.Q(user=user) | models.Q(is_shared=True))
