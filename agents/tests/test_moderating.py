from __future__ import annotations

import pytest

from agents.briefs import Brief
from agents.llm.base import ErrorCode, LlmError
from agents.moderating import COMPLEXITY, choose_agents, choose_by_words, decide
from sandbox.deepgram.brain import Thought, ToolUse
from sandbox.models.account import Fault, Kind

MODERATOR = Brief("moderator", "Moderator", "Choosing", "", "You choose.", is_moderator=True)
AGENTS = [
    Brief("tax", "Tax questions", "Sales tax, payroll tax and deadlines", "Orders a question of tax.", "You know tax."),
    Brief("garage", "Garage", "Servicing, repairs and tyres", "Takes a car's case down.", "You know cars."),
    Brief("law", "Contracts and law", "What a contract means", "Explains clauses.", "You know law."),
]


async def choose(request, **changes):
    values = {"moderator": MODERATOR, "agents": AGENTS, "instructions": "You choose.", "request": request, **changes}
    chosen, _ = await choose_agents(**values)
    return [agent.slug for agent in chosen]


async def test_the_moderator_chooses_from_the_list_it_is_given(models):
    models.script.append(Thought(tool=ToolUse("choose_agents", {"agents": ["law", "tax"]})))
    assert await choose("May I?", most=3) == ["law", "tax"]
    (asked,) = models.asked
    assert "- garage: Garage. Servicing, repairs and tyres." in asked.system
    assert asked.body["tools"][0]["function"]["parameters"]["properties"]["agents"]["maxItems"] == 3


@pytest.mark.parametrize(
    "answer",
    [
        Thought("Ask the tax agent."),
        Thought(tool=ToolUse("choose_agents", {"agents": ["doctor"]})),
        Thought(tool=ToolUse("choose_agents", {"agents": ["law", "law"]})),
        Thought(tool=ToolUse("other", {})),
    ],
)
async def test_an_answer_that_is_none_leaves_it_to_the_words(models, answer):
    models.script += [answer] * 3
    assert await choose("When is the deadline for my sales tax?") == ["tax"]


async def test_without_a_model_it_is_left_to_the_words():
    assert await choose("My car needs new tyres") == ["garage"]
    assert await choose("Lovely weather") == []
    assert await choose("Anything", agents=[]) == []


def test_by_words_the_best_first_and_nobody_who_shares_none():
    chosen = choose_by_words(AGENTS, "a contract about the repairs of tyres", most=3)
    assert [agent.slug for agent in chosen] == ["garage", "law"]


async def test_a_verdict_is_checked(models):
    models.script.append(Thought(tool=ToolUse("rate_request", {"complexity": 1.5, "asks_for_specialist": True})))
    with pytest.raises(LlmError) as failed:
        await decide(moderator=MODERATOR, instructions="", question="?", tool=COMPLEXITY, deadline_s=5)
    assert failed.value.code is ErrorCode.BROKEN_ANSWER
    models.script.append(Thought(tool=ToolUse("rate_request", {"complexity": 0.8, "asks_for_specialist": False})))
    verdict = await decide(moderator=MODERATOR, instructions="", question="?", tool=COMPLEXITY, deadline_s=5)
    assert verdict.values == {"complexity": 0.8, "asks_for_specialist": False}


async def test_a_model_that_is_late_is_not_waited_for(models):
    models.faults.append(Fault(Kind.HANG, times=9))
    with pytest.raises(LlmError) as failed:
        await decide(moderator=MODERATOR, instructions="", question="?", tool=COMPLEXITY, deadline_s=0.2)
    assert failed.value.code is ErrorCode.TOO_SLOW
