from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.urls import reverse
from django.utils import timezone

from crm.enums import FieldType

MAX_OPTIONS = 200


class CustomField(models.Model):
    """A field a tenant added to its contacts. Values are in `Contact.custom_fields` under `key`."""

    key = models.CharField(
        max_length=40,
        unique=True,
        validators=[RegexValidator(r"^[a-z][a-z0-9_]*$", "Use small letters, digits and underscores, a letter first.")],
        help_text="How imports and the API call it. It cannot be changed later.",
    )
    label = models.CharField(max_length=80)
    type = models.CharField(max_length=12, choices=FieldType, default=FieldType.TEXT)
    options = models.JSONField(default=list, blank=True, help_text="What can be chosen.")
    is_required = models.BooleanField("required", default=False)
    is_active = models.BooleanField("active", default=True)
    help_text = models.CharField(max_length=200, blank=True)
    default = models.JSONField(null=True, blank=True)
    position = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["position", "id"]

    def __str__(self) -> str:
        return self.label

    def get_absolute_url(self) -> str:
        return reverse("crm:field-edit", args=[self.pk])

    @property
    def has_options(self) -> bool:
        return self.type in (FieldType.SELECT, FieldType.MULTI_SELECT)

    def clean(self) -> None:
        if not isinstance(self.options, list) or not all(isinstance(option, str) for option in self.options):
            raise ValidationError({"options": "List the options, each a text."})
        self.options = list(dict.fromkeys(option.strip() for option in self.options if option.strip()))
        if self.has_options and not self.options:
            raise ValidationError({"options": "Write at least one option, one a line."})
        if len(self.options) > MAX_OPTIONS:
            raise ValidationError({"options": f"At most {MAX_OPTIONS} options."})
        if not self.has_options:
            self.options = []
        self._clean_default()

    def _clean_default(self) -> None:
        from crm.fieldtypes import FieldError, parse

        if self.default in (None, "", []):
            self.default = None
            return
        try:
            self.default = parse(self, self.default)
        except FieldError as error:
            raise ValidationError({"default": str(error)}) from None
