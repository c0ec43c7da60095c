from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms

from agents.models import Agent
from agents.organisation.forms import VariablesField
from agents.tools import tool_choices
from telephony.enums import CallStatus, EndedReason
from telephony.hours import HoursError, format_hours, parse_hours
from telephony.languages import known_languages
from telephony.models import Line
from telephony.selectors import CallFilter

MAX_QUERY = 200


class CallFilterForm(forms.Form):
    q = forms.CharField(required=False, label="Search", max_length=MAX_QUERY, help_text="A whole number, or words.")
    status = forms.ChoiceField(
        required=False,
        choices=[("", "Any status"), ("live", "Live now"), ("test", "Test calls"), *CallStatus.choices],
    )
    line = forms.ModelChoiceField(Line.objects.none(), required=False, empty_label="Any line")
    reason = forms.ChoiceField(required=False, choices=[("", "Any end"), *EndedReason.choices], label="Ended because")
    since = forms.DateField(required=False, label="From", widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(required=False, label="To", widget=forms.DateInput(attrs={"type": "date"}))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["line"].queryset = Line.objects.all()  # type: ignore[attr-defined]
        self.fields["q"].widget.attrs |= {"type": "search", "data-search": "", "placeholder": "Number or words"}

    def chosen(self) -> CallFilter:
        """Return the filter; a field that makes no sense filters nothing and says so beside it."""
        self.is_valid()
        data = self.cleaned_data
        line = data.get("line")
        return CallFilter(
            query=data.get("q", "").strip(),
            status=data.get("status", ""),
            line_id=line.pk if line else None,
            ended_reason=data.get("reason", ""),
            first_day=data.get("since"),
            last_day=data.get("until"),
        )


class HoursField(forms.CharField):
    """Opening hours as people write them; what of a line is not understood is refused. Nothing: always open."""

    widget = forms.Textarea

    def prepare_value(self, value: Any) -> Any:
        return format_hours(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        try:
            return parse_hours(value or "")
        except HoursError as error:
            raise forms.ValidationError(str(error)) from None

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(initial != self.to_python(data))
        except forms.ValidationError:
            return True


class LineForm(forms.ModelForm):  # type: ignore[type-arg]
    agent = forms.ModelChoiceField(
        Agent.objects.none(),
        required=False,
        empty_label="None: the prompt below is the agent",
        help_text="Its prompt comes first, the one below after it.",
    )
    variables = VariablesField(
        required=False,
        label="Variables",
        help_text="On this line alone, one a line, such as opening_offer: ten percent off.",
    )
    hours = HoursField(
        required=False, help_text="Such as Mon-Fri 09:00-12:00, 13:00-17:00. One or more days a line. Empty: always open."
    )
    tools = forms.MultipleChoiceField(required=False, widget=forms.CheckboxSelectMultiple)

    class Meta:
        model = Line
        exclude = ["phone_number", "is_default", "updated_at"]
        widgets = {
            "prompt": forms.Textarea(attrs={"rows": 10}),
            **{
                name: forms.Textarea(attrs={"rows": 2})
                for name in (
                    "greeting",
                    "silence_prompt_text",
                    "silence_goodbye_text",
                    "length_goodbye_text",
                    "length_warning_note",
                    "dtmf_note",
                    "resume_text",
                    "closed_text",
                    "busy_text",
                    "unavailable_text",
                    "transfer_failed_text",
                    "transfer_failed_note",
                    "voicemail_text",
                    "summary_prompt",
                    "briefing_text",
                    "over_budget_text",
                    "budget_warning_note",
                    "budget_wind_down_note",
                    "budget_goodbye_text",
                )
            },
        }

    # How the form is laid out: a heading, what it is about, and its fields.
    SECTIONS = (
        (
            "Agent",
            "Who answers, and how.",
            (
                "name",
                "is_active",
                "agent",
                "agent_name",
                "greeting",
                "prompt",
                "variables",
                "tools",
                "creates_leads",
                "details_by_number",
            ),
        ),
        (
            "Voice and models",
            "Empty fields take the installation's choice.",
            ("language", "voice", "engine", "listen_model", "think_provider", "think_model", "temperature"),
        ),
        ("Opening hours", "Outside them callers hear the sentence below.", ("hours", "time_zone", "closed_text")),
        (
            "People",
            "Whom the agent transfers to, and what happens when nobody is free.",
            (
                "fallback_number",
                "announces_transfers",
                "briefing_text",
                "briefing_key",
                "ring_timeout_s",
                "transfer_failed_text",
                "return_after_transfer",
                "voicemail",
                "voicemail_text",
                "voicemail_max_s",
            ),
        ),
        (
            "Limits",
            "In seconds.",
            ("max_call_s", "length_warning_s", "silence_prompt_s", "silence_goodbye_s", "max_dead_air_s"),
        ),
        (
            "Sentences",
            "What callers hear when the agent cannot say it by itself.",
            (
                "silence_prompt_text",
                "silence_goodbye_text",
                "length_goodbye_text",
                "resume_text",
                "busy_text",
                "unavailable_text",
                "carrier_voice",
            ),
        ),
        (
            "Notes to the agent",
            "Told to the agent, never to the caller.",
            ("length_warning_note", "transfer_failed_note", "dtmf_note", "summary_prompt"),
        ),
        (
            "Money",
            "What callers meet when the budget is used up, and who gets a dearer or a cheaper voice.",
            (
                "over_budget_action",
                "over_budget_text",
                "budget_warning_note",
                "budget_wind_down_note",
                "budget_wind_down_s",
                "budget_goodbye_text",
                "premium_from_score",
                "premium_model",
                "premium_voice",
                "economy_below_percent",
                "economy_model",
                "economy_voice",
            ),
        ),
        (
            "Recording",
            "Recordings are encrypted, and deleted after their time.",
            ("record_calls", "recording_retention_days"),
        ),
    )

    def __init__(self, *args: Any, agents: Sequence[Agent], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["agent"].queryset = Agent.objects.filter(pk__in=[agent.pk for agent in agents])  # type: ignore[attr-defined]
        names = known_languages()
        stored = self.instance.language if self.instance.language not in names else ""
        choices = [*names.items(), *([(stored, stored)] if stored else [])]
        self.fields["language"] = forms.ChoiceField(
            choices=choices, help_text="What callers speak. The listening model and all voices must know it."
        )
        self.fields["tools"].choices = tool_choices("call")  # type: ignore[attr-defined]
        self.fields["hours"].widget.attrs["rows"] = 4
        self.fields["variables"].widget.attrs["rows"] = 3

    def faulty(self) -> list[forms.BoundField]:
        return [field for field in self if field.errors]

    def sections(self) -> list[dict[str, Any]]:
        return [
            {"title": title, "about": about, "fields": [self[name] for name in names]}
            for title, about, names in self.SECTIONS
        ]


class SayForm(forms.Form):
    text = forms.CharField(max_length=500, label="Say this", widget=forms.TextInput(attrs={"autocomplete": "off"}))


class EraseForm(forms.Form):
    confirmed = forms.BooleanField(label="Erase this call for good", error_messages={"required": "Tick this to go on."})


class TestCallForm(forms.Form):
    line = forms.ModelChoiceField(Line.objects.none(), empty_label=None)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["line"].queryset = Line.objects.filter(is_active=True)  # type: ignore[attr-defined]
