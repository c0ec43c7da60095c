"""A scenario carried out: a text conversation with an agent's version. Nothing outside is touched: tools are answered by
the scenario, but for looking something up, which changes nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from agents.briefs import Brief
from agents.dialogue import Answer, Conversation, ask_agent
from agents.llm import asking
from agents.llm.base import LlmError, ModelRequest, Turn
from agents.llm.metering import Purpose, charged_to
from agents.llm.registry import choose_model
from agents.tools import AfterTurn, Tool, ToolContext, ToolOutcome
from agents.trials.scenario import Checked, Run, Scenario, Use, check
from billing.enums import Kind

REAL = ("search_knowledge",)
DEADLINE_S = 60.0
DONE = "DONE"
CALLER = """You play somebody who telephones a business, to try out how it answers. Stay in your part:
{part}
Say only what this person would say next, in one or two sentences. When you have got what you called for, or it is clear
that you will not, say goodbye and write {done} at the end."""
_ENDS: dict[str, Any] = {"end_call": "hang-up", "transfer_to_person": "transfer", "consult_specialist": "consult"}


@dataclass(frozen=True, slots=True)
class Result:
    run: Run
    checks: list[Checked]
    problem: str = ""  # of a model that could not be asked
    input_tokens: int | None = None
    output_tokens: int | None = None

    @property
    def passed(self) -> bool:
        return not self.problem and all(one.passed for one in self.checks)


async def carry_out(
    scenario: Scenario, *, brief: Brief, instructions: str, tools: dict[str, Tool], context: ToolContext
) -> Result:
    """Hold the conversation and check it."""
    with charged_to(Purpose(Kind.TRIAL, context.call_id[:64], context.schema)):
        return await _carry_out(scenario, brief, instructions, tools, context)


async def _carry_out(
    scenario: Scenario, brief: Brief, instructions: str, tools: dict[str, Tool], context: ToolContext
) -> Result:
    run = Run(answers=[scenario.greeting] if scenario.greeting else [])
    caller_is_done = False
    turns: list[Turn] = [Turn("assistant", scenario.greeting)] if scenario.greeting else []
    offered = {name: _dry(tool, scenario, run) for name, tool in tools.items()}
    spent: list[Answer] = []
    began = time.monotonic()
    problem = ""
    try:
        for number in range(scenario.turns):
            said = scenario.says[number] if scenario.says else await _played(scenario, turns)
            caller_is_done = DONE in said
            said = said.replace(DONE, "").strip()
            if not said:
                break
            run.said.append(said)
            conversation = Conversation(brief, instructions, tuple(turns), offered, context, deadline_s=DEADLINE_S)
            answer = await ask_agent(conversation, said)
            spent.append(answer)
            turns += answer.turns
            run.answers.append(answer.text)
            if answer.after_turn is not None:
                run.ended = answer.after_turn.action
            if run.ended or caller_is_done or number + 1 == len(scenario.says):
                break
    except LlmError as error:
        problem = error.code.value
    run.seconds = time.monotonic() - began
    known = [answer.usage for answer in spent if answer.usage is not None]
    is_known = bool(known) and len(known) == len(spent)
    return Result(
        run=run,
        checks=check(scenario, run),
        problem=problem,
        input_tokens=sum(usage.input_tokens for usage in known) if is_known else None,
        output_tokens=sum(usage.output_tokens for usage in known) if is_known else None,
    )


def _dry(tool: Tool, scenario: Scenario, run: Run) -> Tool:
    """Return a tool that is written down, and answered by the scenario instead of being carried out."""

    async def use(context: ToolContext, arguments: dict[str, Any]) -> ToolOutcome:
        run.used.append(Use(tool.name, arguments))
        if tool.name in scenario.results:
            content = scenario.results[tool.name]
        elif tool.name in REAL:
            return await tool.run(context, arguments)
        else:
            content = {"ok": True}
        action = _ENDS.get(tool.name)
        return ToolOutcome(content, AfterTurn(action) if action else None)

    return replace(tool, run=use)


async def _played(scenario: Scenario, turns: list[Turn]) -> str:
    """Return what a model says in the caller's part."""
    provider, model = choose_model("", "")
    part = CALLER.replace("{part}", scenario.plays).replace("{done}", DONE)
    heard = [_mirrored(turn) for turn in turns if turn.role != "tool" and turn.text]
    if not heard or heard[0].role != "user":
        heard.insert(0, Turn("user", "(Your call is answered.)"))
    request = ModelRequest(model=model, system=part, turns=tuple(heard), max_output_tokens=200, deadline_s=30.0)
    return (await asking.complete(provider, request)).text.strip()


def _mirrored(turn: Turn) -> Turn:
    return Turn("assistant" if turn.role == "user" else "user", turn.text)
