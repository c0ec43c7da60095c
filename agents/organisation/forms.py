from __future__ import annotations

from typing import Any

from django import forms

from agents.organisation.models import AgentSettings


class VariablesField(forms.CharField):
    """Names and values as people write them, one a line: `price_list: from 40 euros`."""

    widget = forms.Textarea

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(f"{name}: {text}" for name, text in value.items()) if isinstance(value, dict) else value

    def to_python(self, value: Any) -> Any:
        found: dict[str, str] = {}
        for line in (value or "").splitlines():
            if not line.strip():
                continue
            name, colon, text = line.partition(":")
            if not colon:
                raise forms.ValidationError(f"“{line.strip()}”: write a name, a colon, and its value.")
            found[name.strip()] = text.strip()
        return found

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool((initial or {}) != self.to_python(data))
        except forms.ValidationError:
            return True


class PhrasesField(forms.CharField):
    """One phrase a line."""

    widget = forms.Textarea

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        return [line.strip() for line in (value or "").splitlines() if line.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool((initial or []) != self.to_python(data))


class AgentSettingsForm(forms.ModelForm):  # type: ignore[type-arg]
    variables = VariablesField(
        required=False,
        label="Variables",
        help_text="One a line, such as price_list: from 40 euros. Wherever a prompt says {price_list}, this is put in.",
    )
    waiting_texts = PhrasesField(help_text="One a line, said in turn while specialists work.")
    ask_phrases = PhrasesField(label="How callers ask", help_text="One a line, in any language.")
    yes_phrases = PhrasesField(label="What means yes", help_text="One a line, in any language.")
    no_phrases = PhrasesField(label="What means no", help_text="One a line, in any language.")

    class Meta:
        model = AgentSettings
        exclude: list[str] = []
        widgets = {
            name: forms.Textarea(attrs={"rows": 2})
            for name in ("nothing_found_text", "consent_text", "declined_text", "failed_text", "paused_note", "resume_text")
        } | {"result_note": forms.Textarea(attrs={"rows": 4})}

    SECTIONS = (
        ("Variables", "What stands for the names in braces in every agent's prompt.", ("variables",)),
        ("Knowledge", "What an agent says when nothing answers a question.", ("nothing_found_text",)),
        (
            "Specialists in calls",
            "A caller's hard question may be put to other agents, if the caller agrees.",
            ("specialists_join", "offer_by_complexity", "complexity_threshold", "max_specialists"),
        ),
        (
            "Asking for consent",
            "Nobody joins before the caller has said yes.",
            ("consent_text", "consent_seconds", "declined_text", "ask_phrases", "yes_phrases", "no_phrases"),
        ),
        (
            "While they work",
            "The agent stays on the line and says something now and then.",
            ("work_seconds", "waiting_seconds", "waiting_texts", "failed_text"),
        ),
        (
            "Notes to the agent",
            "Told to the agent, never to the caller.",
            ("paused_note", "result_note", "resume_text"),
        ),
        (
            "Who is calling",
            "Details of a contact are told when the network vouches for the number, or after a second fact on file.",
            ("proof_text", "no_proof_text"),
        ),
        ("Messages", "Taken by agents for the people who work here.", ("message_subject",)),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("variables", "waiting_texts", "ask_phrases", "yes_phrases", "no_phrases"):
            self.fields[name].widget.attrs["rows"] = 4

    def sections(self) -> list[dict[str, Any]]:
        return [
            {"title": title, "about": about, "fields": [self[name] for name in names]}
            for title, about, names in self.SECTIONS
        ]
