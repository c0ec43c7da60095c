"""What a tenant decides about its contacts: the statuses' names, the rules of the score, the texts."""

from __future__ import annotations

from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models

from crm.enums import Colour, RuleKind, Status

MAX_DAYS = 36_500


class ContactStatus(models.Model):
    key = models.CharField(max_length=12, choices=Status, primary_key=True)
    label = models.CharField(max_length=40)
    colour = models.CharField(max_length=10, choices=Colour, default=Colour.GREY)
    position = models.PositiveSmallIntegerField(default=0)
    # Percent of the value to be expected. Empty: not part of the forecast.
    probability = models.PositiveSmallIntegerField(
        "probability, %", null=True, blank=True, validators=[MaxValueValidator(100)]
    )

    class Meta:
        ordering = ["position", "key"]

    def __str__(self) -> str:
        return self.label


class CrmSettings(models.Model):
    """One row for each tenant; made with the tenant, from crm/data/defaults.json."""

    currency = models.CharField(
        max_length=3, validators=[RegexValidator(r"^[A-Z]{3}$", "Three capital letters, such as EUR.")]
    )
    phone_region = models.CharField(
        max_length=2,
        blank=True,
        validators=[RegexValidator(r"^[A-Z]{2}$", "Two capital letters, such as DE.")],
        help_text="The country of numbers written without one.",
    )
    new_lead_name = models.CharField(max_length=80, help_text="What an unknown caller is called until they are known.")
    caller_context = models.TextField(
        help_text="Told to the agent before it greets a caller it knows. {name}, {business}, {status}, {interactions} and "
        "{tasks} are filled in."
    )
    no_contact_context = models.TextField(
        help_text="Told to the agent after that, if the caller has said that they want no contact."
    )
    context_interactions = models.PositiveSmallIntegerField(
        "how many interactions", validators=[MinValueValidator(0), MaxValueValidator(20)]
    )
    do_not_contact_text = models.TextField(help_text="What the agent says after noting that somebody wants no contact.")
    call_subject = models.CharField(max_length=120, help_text="The subject of a call on the timeline. {line} is filled in.")
    message_subject = models.CharField(
        max_length=120, help_text="The task made of a message whose caller is no contact. {caller} is filled in."
    )
    reminder_subject = models.CharField(max_length=120, help_text="{task} and {contact} are filled in.")
    reminder_text = models.TextField(help_text="{task}, {contact}, {due} and {link} are filled in.")

    class Meta:
        verbose_name_plural = "CRM settings"

    def __str__(self) -> str:
        return "CRM settings"


def status_labels() -> tuple[tuple[str, str], ...]:
    """Return what the tenant calls its statuses, for `fieldtypes.Reading`: (label, key)."""
    return tuple(ContactStatus._default_manager.values_list("label", "key"))


def crm_settings() -> CrmSettings:
    return CrmSettings._default_manager.order_by("pk").get()


class ScoreRule(models.Model):
    """Points a contact gets when something is true of it."""

    label = models.CharField(max_length=80, help_text="Shown beside the points, such as “answered twice”.")
    kind = models.CharField(max_length=20, choices=RuleKind)
    field = models.CharField(max_length=60, blank=True, help_text="Which field, for rules about fields.")
    value = models.CharField(max_length=120, blank=True, help_text="Which value, tag or kind of interaction.")
    at_least = models.PositiveIntegerField(
        default=1, validators=[MaxValueValidator(MAX_DAYS)], help_text="How many, or for how many days."
    )
    within_days = models.PositiveIntegerField(
        null=True, blank=True, validators=[MaxValueValidator(MAX_DAYS)], help_text="Counted back from today; empty: ever."
    )
    points = models.IntegerField(validators=[MinValueValidator(-1000), MaxValueValidator(1000)])
    is_active = models.BooleanField("active", default=True)
    position = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["position", "id"]

    def __str__(self) -> str:
        return self.label

    def parameters(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("kind", "field", "value", "at_least", "within_days")}
