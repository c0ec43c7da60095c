"""Asking an agent: its instructions, a conversation and tools in; what it says, and what it did for it, out.

Chat, specialists who join a call and trials all ask here. No rows are written; whoever asks decides what to keep.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from agents.briefs import Brief
from agents.llm import asking
from agents.llm.base import Collected, ErrorCode, LlmError, ModelRequest, TextDelta, ToolCall, ToolOffer, Turn, Usage
from agents.llm.registry import choose_model
from agents.llm.trimming import trim
from agents.tools import AfterTurn, Tool, ToolContext, ToolError, as_text, run_tool
from base.jsontext import JSONTextError, decode

logger = logging.getLogger("agents")

ROUNDS = 6  # answers with tool calls in a row, before the agent has to say something
CONTEXT_TOKENS = 12_000
MAX_OUTPUT_TOKENS = 1_200
DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class Conversation:
    """Everything an agent is asked with. `turns` are what was said before."""

    brief: Brief
    instructions: str
    turns: tuple[Turn, ...] = ()
    tools: Mapping[str, Tool] = field(default_factory=dict)
    context: ToolContext | None = None
    deadline_s: float = DEADLINE_S
    max_output_tokens: int = MAX_OUTPUT_TOKENS


@dataclass(frozen=True, slots=True)
class Spoken:
    """A piece of what the agent says."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolBegan:
    call: ToolCall


@dataclass(frozen=True, slots=True)
class ToolEnded:
    call: ToolCall
    result: str
    failed: bool


Progress = Spoken | ToolBegan | ToolEnded


@dataclass(slots=True)
class Answer:
    """`turns` are what is new in the conversation, the question included. `usage` is None where any part is unknown."""

    text: str = ""
    turns: list[Turn] = field(default_factory=list)
    used: list[ToolEnded] = field(default_factory=list)
    after_turn: AfterTurn | None = None
    usage: Usage | None = None
    first_word_ms: int | None = None
    duration_ms: int = 0
    provider: str = ""
    model: str = ""


class Stopped(Exception):
    """Whoever asked does not want the rest. Carries what was said so far."""

    def __init__(self, answer: Answer) -> None:
        super().__init__("stopped")
        self.answer = answer


async def ask_agent(
    conversation: Conversation,
    message: str,
    *,
    on_progress: Callable[[Progress], None] = lambda _: None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Answer:
    """Put a message to an agent and return its answer, tools used on the way included.

    Raises LlmError, and Stopped with what there is when `is_stopped` says so.
    """
    provider, model = choose_model(conversation.brief.provider, conversation.brief.model)
    answer = Answer(turns=[Turn("user", message)], provider=provider, model=model)
    began = time.monotonic()
    ends_at = began + conversation.deadline_s
    spent: list[Usage | None] = []

    def said(text: str) -> None:
        if answer.first_word_ms is None:
            answer.first_word_ms = round((time.monotonic() - began) * 1000)
        answer.text += text
        on_progress(Spoken(text))

    def finish() -> Answer:
        answer.duration_ms = round((time.monotonic() - began) * 1000)
        answer.usage = _sum(spent)
        return answer

    for number in range(ROUNDS + 1):
        may_use = conversation.tools if number < ROUNDS else {}
        request = _request(conversation, answer, model, may_use, ends_at - time.monotonic())
        collected = Collected()
        if number and answer.text:
            said("\n\n")
        async with aclosing(asking.stream(provider, request)) as events:
            async for event in events:
                collected.add(event)
                if isinstance(event, TextDelta):
                    said(event.text)
                if is_stopped():
                    answer.turns.append(Turn("assistant", collected.text))
                    raise Stopped(finish())
        completion = collected.completion()
        spent.append(completion.usage)
        answer.turns.append(Turn("assistant", completion.text, completion.tool_calls))
        if not completion.tool_calls:
            break
        await _use_tools(conversation, completion.tool_calls, answer, on_progress)
        if answer.after_turn is not None and completion.text.strip():
            break
    answer.text = answer.text.strip()
    return finish()


def _request(
    conversation: Conversation, answer: Answer, model: str, tools: Mapping[str, Tool], left_s: float
) -> ModelRequest:
    if left_s <= 0:
        raise LlmError(ErrorCode.TOO_SLOW, retryable=True)
    return ModelRequest(
        model=model,
        system=conversation.instructions,
        turns=trim([*conversation.turns, *answer.turns], budget_tokens=CONTEXT_TOKENS),
        tools=tuple(ToolOffer(tool.name, tool.description, tool.parameters) for tool in tools.values()),
        temperature=conversation.brief.temperature,
        max_output_tokens=conversation.max_output_tokens,
        deadline_s=left_s,
    )


async def _use_tools(
    conversation: Conversation, calls: tuple[ToolCall, ...], answer: Answer, on_progress: Callable[[Progress], None]
) -> None:
    """Use the tools side by side; their answers stand in the order they were asked for."""
    for call in calls:
        on_progress(ToolBegan(call))
    results = await asyncio.gather(*(_use(conversation, call) for call in calls))
    for call, (content, failed, after_turn) in zip(calls, results, strict=True):
        ended = ToolEnded(call, content, failed)
        answer.used.append(ended)
        answer.after_turn = after_turn or answer.after_turn
        answer.turns.append(Turn("tool", content, tool_call_id=call.id, is_error=failed))
        on_progress(ended)


async def _use(conversation: Conversation, call: ToolCall) -> tuple[str, bool, AfterTurn | None]:
    tool = conversation.tools.get(call.name)
    try:
        if tool is None or conversation.context is None:
            raise ToolError(f"There is no tool named {call.name}.")
        outcome = await run_tool(tool, conversation.context, call.arguments)
    except ToolError as error:
        return str(error), True, None
    except Exception:  # whatever a tool does, the conversation goes on
        logger.exception("A tool failed.", extra={"tool": call.name})
        return "The tool failed.", True, None
    return as_text(outcome.content), False, outcome.after_turn


def _sum(spent: list[Usage | None]) -> Usage | None:
    known = [usage for usage in spent if usage is not None]
    if len(known) < len(spent) or not known:
        return None
    return Usage(sum(usage.input_tokens for usage in known), sum(usage.output_tokens for usage in known))


def decode_arguments(call: ToolCall) -> dict[str, Any]:
    """Return what a model wrote as a tool's arguments; an empty object for what cannot be read."""
    try:
        value = decode(call.arguments or "{}")
    except JSONTextError:
        return {}
    return value if isinstance(value, dict) else {}
