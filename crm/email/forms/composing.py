from __future__ import annotations

from typing import Any
from uuid import uuid4

from django import forms

from crm.email.models import EmailTemplate

MAX_TEXT = 100_000


class ComposeForm(forms.Form):
    """A letter to one contact, in plain text: what is written is what arrives."""

    subject = forms.CharField(max_length=400)
    text = forms.CharField(max_length=MAX_TEXT, label="Text", widget=forms.Textarea(attrs={"rows": 12}), strip=True)

    key = forms.UUIDField(required=False, widget=forms.HiddenInput, initial=uuid4)  # a second click sends nothing twice

    def clean_subject(self) -> str:
        return " ".join(self.cleaned_data["subject"].split())


class TemplateChoiceForm(forms.Form):
    """Which template fills the letter."""

    template = forms.ModelChoiceField(queryset=EmailTemplate.objects.none(), required=False, empty_label="Choose…")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["template"].queryset = EmailTemplate.objects.usable().exclude(current=None)  # type: ignore[attr-defined]
