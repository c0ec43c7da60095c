"""What the moderator is asked: which agents suit a request, how hard it is, what somebody meant.

Each is one question with one tool to answer it, so that the answer is data. When no model can be asked, plain rules
answer instead; they are worse, and nobody waits for them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agents.briefs import Brief
from agents.dialogue import decode_arguments
from agents.llm import asking
from agents.llm.base import ErrorCode, LlmError, ModelRequest, ToolOffer, Turn, Usage
from agents.llm.registry import choose_model
from agents.schemas import faults_of, read_schema
from crm.folding import fold

CHOOSE_DEADLINE_S = 6.0
JUDGE_DEADLINE_S = 4.0
_WORD = re.compile(r"\w{4,}", re.UNICODE)


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer as data, with what it cost; None where the provider does not say."""

    values: dict[str, Any]
    usage: Usage | None


async def decide(*, moderator: Brief, instructions: str, question: str, tool: ToolOffer, deadline_s: float) -> Verdict:
    """Put a question whose answer is a call of `tool`. Raises LlmError, also for an answer that does not fit."""
    provider, model = choose_model(moderator.provider, moderator.model)
    request = ModelRequest(
        model=model,
        system=instructions,
        turns=(Turn("user", question),),
        tools=(tool,),
        temperature=moderator.temperature,
        max_output_tokens=300,
        deadline_s=deadline_s,
    )
    completion = await asking.complete(provider, request)
    for call in completion.tool_calls:
        values = decode_arguments(call)
        if call.name == tool.name and not faults_of(read_schema(tool.parameters), values):
            return Verdict(values, completion.usage)
    raise LlmError(ErrorCode.BROKEN_ANSWER, retryable=True)


def choice_tool(agents: Sequence[Brief], most: int) -> ToolOffer:
    return ToolOffer(
        "choose_agents",
        "Say which agents answer best, the best first.",
        {
            "type": "object",
            "properties": {
                "agents": {
                    "type": "array",
                    "items": {"type": "string", "enum": [agent.slug for agent in agents]},
                    "maxItems": most,
                    "uniqueItems": True,
                }
            },
            "required": ["agents"],
            "additionalProperties": False,
        },
    )


COMPLEXITY = ToolOffer(
    "rate_request",
    "Say how hard the caller's last request is, and whether they ask for a specialist.",
    {
        "type": "object",
        "properties": {
            "complexity": {"type": "number", "minimum": 0, "maximum": 1},
            "asks_for_specialist": {"type": "boolean"},
        },
        "required": ["complexity", "asks_for_specialist"],
        "additionalProperties": False,
    },
)
CONSENT = ToolOffer(
    "note_answer",
    "Note what somebody answered to a question of yes or no.",
    {
        "type": "object",
        "properties": {"answer": {"type": "string", "enum": ["yes", "no", "unclear"]}},
        "required": ["answer"],
        "additionalProperties": False,
    },
)


async def choose_agents(
    *, moderator: Brief, agents: Sequence[Brief], request: str, instructions: str, most: int = 1
) -> tuple[list[Brief], Usage | None]:
    """Return the agents that suit a request, the best first; chosen by their words when no model says. May be none."""
    if not agents:
        return [], None
    listing = "\n".join(f"- {agent.slug}: {agent.name}. {agent.specialty}. {agent.description}" for agent in agents)
    try:
        verdict = await decide(
            moderator=moderator,
            instructions=f"{instructions}\n\nThe agents:\n{listing}",
            question=request,
            tool=choice_tool(agents, most),
            deadline_s=CHOOSE_DEADLINE_S,
        )
    except LlmError:
        return choose_by_words(agents, request, most=most), None
    by_slug = {agent.slug: agent for agent in agents}
    return [by_slug[slug] for slug in verdict.values["agents"]], verdict.usage


def choose_by_words(agents: Sequence[Brief], request: str, *, most: int = 1) -> list[Brief]:
    """Return the agents whose description shares most words with the request; none when nothing is shared."""
    asked = stems(request)

    def shared(agent: Brief) -> int:
        return 2 * len(asked & stems(f"{agent.name} {agent.specialty}")) + len(asked & stems(agent.description))

    ranked = sorted(agents, key=lambda agent: (-shared(agent), agent.name))
    return [agent for agent in ranked[:most] if shared(agent)]


def stems(text: str) -> set[str]:
    """Return the beginnings of a text's longer words: enough to see that two texts are about the same."""
    return {word[:6] for word in _WORD.findall(fold(text))}
