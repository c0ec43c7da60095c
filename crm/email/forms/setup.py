from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings

from crm.email.enums import SuppressionReason
from crm.email.models import EmailSettings

SECTIONS = (
    ("Who writes", "", ("from_name", "from_local_part", "reply_to")),
    ("Footer", "Under e-mail to many.", ("postal_address", "footer_html")),
    (
        "How it is sent",
        "",
        ("morning_hour", "messages_per_minute", "pause_at_bounce_percent", "track_opens", "track_clicks"),
    ),
    (
        "Unsubscribing",
        "The page a recipient comes to from the link in a message. {organization} becomes your organisation's name.",
        (
            "preferences_title",
            "preferences_text",
            "unsubscribe_label",
            "unsubscribed_title",
            "unsubscribed_text",
            "resubscribe_label",
            "too_often_text",
            "gone_title",
            "gone_text",
            "language",
        ),
    ),
    (
        "When a domain is lost",
        "The e-mail to those who manage your organisation when a sending domain is not verified any more.",
        ("domain_lost_subject", "domain_lost_text"),
    ),
)


class EmailSettingsForm(forms.ModelForm):  # type: ignore[type-arg]
    language = forms.ChoiceField(
        choices=settings.LANGUAGES,
        label="Language of these texts",
        help_text="So that they are read aloud as they are meant.",
    )

    class Meta:
        model = EmailSettings
        fields = [name for _, _, names in SECTIONS for name in names]
        widgets = {
            "postal_address": forms.Textarea(attrs={"rows": 2}),
            "footer_html": forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}),
            "preferences_text": forms.Textarea(attrs={"rows": 3}),
            "too_often_text": forms.Textarea(attrs={"rows": 2}),
            "gone_text": forms.Textarea(attrs={"rows": 2}),
            "unsubscribed_text": forms.Textarea(attrs={"rows": 3}),
            "domain_lost_text": forms.Textarea(attrs={"rows": 4}),
        }
        help_texts = {
            "morning_hour": "The hour, from 5 to 11, at which “in each recipient's morning” begins where they are.",
            "messages_per_minute": "A gentle beginning helps a new domain's reputation.",
            "pause_at_bounce_percent": "A mailing with more than this share of addresses that do not exist is paused.",
            "track_opens": "With an invisible picture. Some mail programs load it by themselves: opens are an estimate.",
            "track_clicks": "Links then lead through the provider's server.",
            "too_often_text": "When the page was asked for too often.",
            "gone_title": "When the message a link is from has been deleted for good.",
            "reply_to": "Where answers go. Left empty, to the first owner of your organisation.",
        }

    def clean_from_local_part(self) -> str:
        part: str = self.cleaned_data["from_local_part"].strip().lower()
        if not part.isascii() or not all(character.isalnum() or character in "._+-" for character in part):
            raise forms.ValidationError("Letters, digits, dots, hyphens, + and _ only: “hello”, for example.")
        if part.startswith(".") or part.endswith(".") or ".." in part:
            raise forms.ValidationError("A dot stands between other characters.")
        return part

    def clean_footer_html(self) -> str:
        footer: str = self.cleaned_data["footer_html"]
        if fault := footer_fault(footer):
            raise forms.ValidationError(fault)
        return footer

    def sections(self) -> list[tuple[str, str, list[forms.BoundField]]]:
        return [(title, lead, [self[name] for name in names]) for title, lead, names in SECTIONS]


def footer_fault(footer: str) -> str:
    """Return why a footer cannot stand under a message; "" when it can. It is rendered with example values."""
    from crm.email.rendering.renderer import RenderError, render
    from crm.email.rendering.sources import Source
    from crm.email.rendering.variables import LINKS, catalogue

    values: dict[str, Any] = {name: variable.example for name, variable in catalogue().items()}
    marks = {name: f"https://footer.invalid/{name}" for name in LINKS}
    try:
        shown = render(source=Source("-", footer, ""), values={**values, **marks})
    except RenderError as error:
        return f"Line {error.line}: {error}" if error.line else str(error)
    if not any(mark in shown.html for mark in marks.values()):
        return "There is no way out of it: write {{ unsubscribe_url }} or {{ preferences_url }} into a link."
    return ""


class SuppressionForm(forms.Form):
    """An address somebody wants on the list."""

    address = forms.EmailField(label="E-mail address", max_length=254)
    reason = forms.ChoiceField(
        choices=[(reason.value, reason.label) for reason in (SuppressionReason.PERSON, SuppressionReason.UNSUBSCRIBED)],
        initial=SuppressionReason.PERSON,
    )
