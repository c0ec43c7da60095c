"""A line's sentences with the names in braces filled in, and which of those names have no value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agents.composing import compose
from agents.instructions import values_for
from telephony.models import Line
from tenants.models import Tenant

# What is filled in later, or only where the sentence is spoken.
_LATER = {"dtmf_note": ("digits",), "briefing_text": ("caller", "reason", "key")}
SENTENCES = (
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
    "briefing_text",
    "transfer_failed_text",
    "transfer_failed_note",
    "voicemail_text",
    "over_budget_text",
    "budget_warning_note",
    "budget_wind_down_note",
    "budget_goodbye_text",
    "summary_prompt",
)


@dataclass(frozen=True, slots=True)
class Gap:
    """A text of a line that asks for names nobody has given a value: they are left out when it is spoken."""

    field: str
    label: str
    names: tuple[str, ...]


def values_of(line: Line, tenant: Tenant) -> dict[str, str]:
    """Return what stands for the names in a line's texts. Must run inside the tenant."""
    return values_for(tenant, None, {**line.variables, "agent_name": line.agent_name})


def fill(text: str, values: Mapping[str, str]) -> str:
    """Put the names in. One without a value is never spoken; other braces stay as they are written."""
    return compose([text], values).text


def fill_all(line: Line, tenant: Tenant) -> dict[str, str]:
    """Return every sentence of a line, filled in; what is filled in later still stands in braces."""
    values = values_of(line, tenant)
    return {name: _composed(line, name, values)[0] for name in SENTENCES}


def gaps_of(line: Line, tenant: Tenant, *, prompt: str = "") -> list[Gap]:
    """Return the texts of a line in which names have no value; `prompt` is that of its agent."""
    values = values_of(line, tenant)
    found = [Gap("prompt", "Prompt", compose([prompt, line.prompt], values).missing)]
    for name in SENTENCES:
        label = name.replace("_", " ").capitalize()
        found.append(Gap(name, label, _composed(line, name, values)[1]))
    return [gap for gap in found if gap.names]


def _composed(line: Line, name: str, values: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    later = {one: "{" + one + "}" for one in _LATER.get(name, ())}
    composed = compose([getattr(line, name)], {**values, **later})
    return composed.text, composed.missing
