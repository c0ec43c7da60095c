from __future__ import annotations

from typing import Any

from django import forms

from crm.hooks.addresses import MAX_URL_LENGTH
from crm.hooks.enums import SUBSCRIBABLE
from crm.hooks.models import WebhookEndpoint


class EndpointForm(forms.Form):
    """Whether the address may be used is the service's to say; it tells the field."""

    url = forms.CharField(
        label="Address",
        max_length=MAX_URL_LENGTH,
        widget=forms.URLInput(attrs={"placeholder": "https://example.com/hooks", "autocomplete": "off"}),
        help_text="Where we send to: https, reachable from the internet.",
    )
    description = forms.CharField(required=False, max_length=200, help_text="What it is for, so that others know.")
    events = forms.MultipleChoiceField(
        choices=[(event.value, f"{event.label} ({event.value})") for event in SUBSCRIBABLE],
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose at least one event."},
    )
    is_active = forms.BooleanField(required=False, initial=True, label="Send events to it")

    @classmethod
    def for_endpoint(cls, endpoint: WebhookEndpoint, data: Any = None) -> EndpointForm:
        names = ("url", "description", "events", "is_active")
        return cls(data, initial={name: getattr(endpoint, name) for name in names})
