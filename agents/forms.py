from __future__ import annotations

from typing import Any

from django import forms

from agents.briefs import ALL_TOOLS
from agents.llm.registry import PROVIDERS
from agents.models import Agent, AgentVersion
from agents.tools import tool_choices

PROVIDER_NAMES = {"openai": "OpenAI, or a server that speaks its language", "anthropic": "Anthropic"}


class AgentForm(forms.Form):
    """What is said about an agent, and what it is. The second half becomes a draft."""

    name = forms.CharField(max_length=80)
    specialty = forms.CharField(
        max_length=120, help_text="What it is good at, in a few words. The moderator chooses by it."
    )
    description = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 2}))
    telephony_only = forms.BooleanField(required=False, label="On the telephone only", help_text="Not offered in chat.")

    prompt = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 16}),
        help_text="What it is, knows and should do. {organisation}, {agent_name}, {today} and your names are filled in.",
    )
    provider = forms.ChoiceField(
        required=False,
        label="Language model of",
        choices=[("", "The installation's choice"), *((name, PROVIDER_NAMES[name]) for name in PROVIDERS)],
    )
    model = forms.CharField(required=False, max_length=80, help_text="Its name at the provider. Empty: the installation's.")
    temperature = forms.FloatField(
        required=False, min_value=0, max_value=2, help_text="0 is matter-of-fact, 1 is lively. Empty: the provider's."
    )
    voice = forms.CharField(required=False, max_length=80, help_text="On the telephone. Empty: the line's.")
    uses_all_tools = forms.BooleanField(required=False, label="May use every tool that the line or the chat offers")
    tools = forms.MultipleChoiceField(
        required=False, widget=forms.CheckboxSelectMultiple, help_text="Otherwise: those ticked here."
    )
    note = forms.CharField(required=False, max_length=200, label="What changed", help_text="For the history.")

    ABOUT = ("name", "specialty", "description", "telephony_only")
    SECTIONS = (
        ("About it", "What people and the moderator choose it by. Changes at once.", ABOUT),
        ("Prompt", "Becomes a draft: nothing changes for callers until you publish it.", ("prompt", "note")),
        ("Model and voice", "", ("provider", "model", "temperature", "voice")),
        ("Tools", "What it may do besides talking.", ("uses_all_tools", "tools")),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["tools"].choices = tool_choices()  # type: ignore[attr-defined]

    @classmethod
    def for_agent(cls, agent: Agent, version: AgentVersion, data: Any = None) -> AgentForm:
        about = {name: getattr(agent, name) for name in cls.ABOUT}
        content = {name: getattr(version, name) for name in ("prompt", "provider", "model", "temperature", "voice")}
        everything = version.tools == ALL_TOOLS
        tools = {"uses_all_tools": everything, "tools": [] if everything else version.tools}
        return cls(data, initial={**about, **content, **tools, "note": version.note if version.is_draft else ""})

    def values(self) -> dict[str, Any]:
        """Return the cleaned values as services take them."""
        data = dict(self.cleaned_data)
        everything = data.pop("uses_all_tools")
        return {**data, "tools": ALL_TOOLS if everything else list(data["tools"])}

    def sections(self) -> list[dict[str, Any]]:
        return [
            {"title": title, "about": about, "fields": [self[name] for name in names]}
            for title, about, names in self.SECTIONS
        ]


class ShareForm(forms.Form):
    percent = forms.IntegerField(min_value=0, max_value=100, label="Share of calls on the draft, %")
