"""A finished call becomes a scenario for trying agents."""

from __future__ import annotations

from agents.selectors import find_agent
from agents.trials.models import Scenario
from agents.trials.scenario import ScenarioError, from_transcript
from agents.trials.services.scenarios import save_scenario
from telephony.enums import EventKind
from telephony.models import Call
from telephony.services.plans import compose_line
from tenants.models import Tenant, User


def scenario_of_call(*, call: Call, tenant: Tenant, by: User | None) -> Scenario:
    """Return a new scenario in which the caller says the same. Raises ScenarioError for a call without words."""
    said = [(str(message.role), message.text) for message in call.messages.order_by("sequence")]
    if not any(role == "user" for role, _ in said):
        raise ScenarioError("The caller said nothing in this call.")
    used = [event.detail["name"] for event in call.events.filter(kind=EventKind.TOOL_CALL) if event.detail]
    agent = find_agent(tenant, call.agent.slug) if call.agent is not None else None
    prompt = ""
    if agent is None:
        if call.line is None:
            raise ScenarioError("The call's line is gone, and with it the agent that answered.")
        prompt = compose_line(line=call.line, tenant=tenant, version=None).prompt.text
    name = f"Call of {call.started_at:%d %b %Y %H:%M}"
    text = from_transcript(name, agent.slug if agent is not None else "", prompt, said, used)
    return save_scenario(scenario=None, text=text, by=by)
