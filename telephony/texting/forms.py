from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from django import forms

from base.text import to_valid
from crm.phones import PhoneError, to_e164
from telephony.models import Line
from telephony.texting.models import TextingSettings
from telephony.texting.services.sending import LONGEST


class TextForm(forms.Form):
    """One text message. `key` is new in each form that is shown, so that a form sent twice is one message."""

    text = forms.CharField(
        label="Text message",
        max_length=LONGEST,
        widget=forms.Textarea(attrs={"rows": 3, "data-segments": "text-size", "autocomplete": "off"}),
        error_messages={"required": "Write something to send."},
    )
    key = forms.UUIDField(widget=forms.HiddenInput, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["initial"] = {"key": uuid.uuid4(), **(kwargs.get("initial") or {})}
        super().__init__(*args, **kwargs)

    def clean_text(self) -> str:
        return to_valid(str(self.cleaned_data["text"]).replace("\r\n", "\n"))


class NewTextForm(TextForm):
    from_number = forms.ChoiceField(label="From")
    to = forms.CharField(label="To", max_length=40, help_text="A mobile number, such as +1 555 010 0123.")
    field_order = ["to", "from_number", "text", "key"]

    def __init__(self, *args: Any, own_numbers: Sequence[str], numbers: Sequence[str], region: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._region = region
        self.fields["from_number"].choices = [(number, number) for number in own_numbers]  # type: ignore[attr-defined]
        if numbers:
            self.fields["to"] = forms.ChoiceField(label="To", choices=[(number, number) for number in numbers])
        self.order_fields(self.field_order)

    def clean_to(self) -> str:
        try:
            return to_e164(str(self.cleaned_data["to"]), self._region)
        except PhoneError as error:
            raise forms.ValidationError(str(error)) from None


class WordsField(forms.CharField):
    """Several words, separated by commas or lines."""

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        words = [to_valid(word).strip() for word in text.replace("\n", ",").split(",")]
        found = list(dict.fromkeys(word for word in words if word))
        if too_long := next((word for word in found if len(word) > 40), None):
            raise forms.ValidationError(f"“{too_long[:40]}…” is longer than 40 characters.")
        return found

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(super().has_changed(self.prepare_value(initial), data))


class CountriesField(WordsField):
    def clean(self, value: Any) -> Any:
        codes = [word.upper() for word in super().clean(value)]
        if wrong := next((code for code in codes if not (len(code) == 2 and code.isascii() and code.isalpha())), None):
            raise forms.ValidationError(f"“{wrong}” is no country's code: write two letters, such as US or DE.")
        return codes


class SettingsForm(forms.ModelForm):  # type: ignore[type-arg]
    countries = CountriesField(
        required=False, help_text="Such as US, CA. Empty: the countries of your own numbers.", label="Countries"
    )
    stop_words = WordsField(label="Words that mean stop", help_text="A text that is one of these ends text messages.")
    start_words = WordsField(label="Words that mean start", help_text="One of these takes a stop back.")
    help_words = WordsField(label="Words that mean help", required=False)

    class Meta:
        model = TextingSettings
        exclude = ()
        widgets = {
            "agent_lines": forms.CheckboxSelectMultiple,
            **{
                name: forms.Textarea(attrs={"rows": rows})
                for name, rows in {
                    "stop_text": 2,
                    "start_text": 2,
                    "help_text": 2,
                    "handover_text": 2,
                    "agent_note": 5,
                }.items()
            },
        }

    SECTIONS = (
        (
            "Agent",
            "Where an agent answers texts, it stops as soon as a person answers, or is asked for.",
            ("agent_lines", "answers_per_hour", "answers_per_day", "agent_note", "handover_text"),
        ),
        (
            "Limits",
            "Text messages cost money and patience. What goes beyond a limit is not sent, and says so.",
            ("per_call", "per_number_day", "per_hour", "per_day", "countries"),
        ),
        (
            "Stop, start and help",
            "Whoever writes a stop word gets no more texts, from nobody here. {organisation} is filled in. Without a "
            "sentence nothing is answered.",
            ("stop_words", "stop_text", "start_words", "start_text", "help_words", "help_text"),
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["agent_lines"].queryset = Line.objects.all()  # type: ignore[attr-defined]

    def sections(self) -> list[dict[str, Any]]:
        return [
            {"title": title, "about": about, "fields": [self[name] for name in names]}
            for title, about, names in self.SECTIONS
        ]
