from __future__ import annotations

from typing import Any

from django import forms

from crm.email.models import EmailTemplate
from crm.email.rendering.sources import MAX_PART_BYTES, MAX_SUBJECT, Source
from crm.email.services.templates import MAX_NAME, source_of

_CODE = {"class": "code", "spellcheck": "false", "autocapitalize": "off", "autocomplete": "off", "data-code": ""}


class TemplateForm(forms.Form):
    """A template as a person writes it. Whether it can be sent is the service's to say."""

    number = forms.IntegerField(widget=forms.HiddenInput, required=False, min_value=0, max_value=2**31 - 1)
    name = forms.CharField(max_length=MAX_NAME, help_text="What you call it. Recipients do not see it.")
    subject = forms.CharField(
        max_length=MAX_SUBJECT, widget=forms.TextInput(attrs={"data-code": "", "autocomplete": "off"})
    )
    html = forms.CharField(
        label="HTML",
        strip=False,
        max_length=MAX_PART_BYTES,
        widget=forms.Textarea(attrs={**_CODE, "rows": 18}),
        error_messages={"required": "Write what the e-mail says."},
    )
    text = forms.CharField(
        label="Plain text",
        required=False,
        strip=False,
        max_length=MAX_PART_BYTES,
        widget=forms.Textarea(attrs={**_CODE, "rows": 6}),
        help_text="Left empty, it is made from the HTML.",
    )
    is_active = forms.BooleanField(required=False, initial=True, label="Can be chosen for sending")

    @classmethod
    def for_template(cls, template: EmailTemplate, data: Any = None) -> TemplateForm:
        version = template.current
        assert version is not None
        initial = {name: getattr(version, name) for name in ("number", "subject", "html", "text")}
        return cls(data, initial={**initial, "name": template.name, "is_active": template.is_active})

    def source(self) -> Source:
        """Return what is written so far, saved or not, right or wrong."""
        parts = {name: str(self[name].value() or "") for name in ("subject", "html", "text")}
        return source_of(**parts)

    def values(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in ("name", "subject", "html", "text", "is_active")}
