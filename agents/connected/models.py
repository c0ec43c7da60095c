from __future__ import annotations

import re
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.urls import reverse
from django.utils import timezone

from agents.schemas import SchemaError, read_schema
from thanos.encryption import EncryptedJSONField, EncryptedTextField

NAME = RegexValidator(
    r"^[a-z][a-z0-9_]{1,39}\Z", "Small letters, digits and underscores, a letter first, such as check_stock."
)


PARAMETER = re.compile(r"[A-Za-z0-9_.-]{1,64}")  # what every provider of models takes


def check_parameters(value: Any) -> None:
    """Raises ValidationError for a schema that cannot be used, or of which a part would not be checked."""
    if not isinstance(value, dict) or value.get("type") != "object":
        raise ValidationError('Write a JSON Schema of an object: {"type": "object", "properties": {…}}.')
    try:
        schema = read_schema(value)
    except SchemaError as error:
        raise ValidationError(f"This is not JSON Schema that can be used. {error}") from None
    if schema.notes:
        raise ValidationError(" ".join(schema.notes))
    if wrong := [name for name in value.get("properties", {}) if not PARAMETER.fullmatch(name)]:
        raise ValidationError(
            f"“{wrong[0][:60]}” is no name for a parameter: use letters, digits, underscores and hyphens."
        )


class Method(models.TextChoices):
    GET = "GET"
    POST = "POST"
    PUT = "PUT"
    PATCH = "PATCH"
    DELETE = "DELETE"


class HttpTool(models.Model):
    """A request to an organisation's own system, as a tool. Address and headers may hold secrets: both are encrypted."""

    name = models.CharField(max_length=40, unique=True, validators=[NAME])
    description = models.TextField(help_text="For the agent: what it does, and when to use it.")
    method = models.CharField(max_length=6, choices=Method, default=Method.POST)
    url = EncryptedTextField()
    headers = EncryptedJSONField(default=dict)
    parameters = models.JSONField(validators=[check_parameters])
    is_irreversible = models.BooleanField(
        "cannot be undone",
        default=False,
        help_text="Waits for the end of the caller's turn, and is done once a conversation.",
    )
    time_limit_s = models.PositiveSmallIntegerField(
        "time limit, seconds", default=6, validators=[MinValueValidator(1), MaxValueValidator(20)]
    )
    max_characters = models.PositiveIntegerField(
        "longest answer", default=2000, validators=[MinValueValidator(100), MaxValueValidator(20_000)]
    )
    is_active = models.BooleanField("offered to agents", default=True)
    last_used_at = models.DateTimeField(null=True, editable=False)
    last_result = models.CharField(max_length=60, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]
        verbose_name = "HTTP tool"

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("connected:http-detail", args=[self.pk])


class McpServer(models.Model):
    """A server whose tools are offered as `name__tool`: those of them that somebody has allowed."""

    name = models.CharField(max_length=40, unique=True, validators=[NAME])
    url = EncryptedTextField()
    headers = EncryptedJSONField(default=dict)
    # As `describing.describe` has them: {"name": the server's, "offered": the agents', "description", "parameters", …}
    tools = models.JSONField(default=list, editable=False)
    left_out = models.JSONField(default=list, editable=False)  # [{"name": …, "why": …}]
    allowed = models.JSONField(default=list)  # names
    time_limit_s = models.PositiveSmallIntegerField(
        "time limit, seconds", default=8, validators=[MinValueValidator(1), MaxValueValidator(20)]
    )
    is_active = models.BooleanField("offered to agents", default=True)
    listed_at = models.DateTimeField(null=True, editable=False)
    problem = models.CharField(max_length=200, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]
        verbose_name = "MCP server"

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("connected:mcp-detail", args=[self.pk])


class ToolRun(models.Model):
    """An irreversible tool was used in a conversation: what the same request again is answered with."""

    conversation = models.CharField(max_length=80)
    key = models.CharField(max_length=32)  # of tool and arguments
    result = EncryptedTextField(blank=True)
    is_over = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["conversation", "key"], name="tool_once")]

    def __str__(self) -> str:
        return f"Tool of {self.conversation}"
