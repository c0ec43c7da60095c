"""The registry of tools an agent may call during a conversation.

A room registers its tools when it is loaded; a conversation offers those its line allows. A tool gets checked
arguments and answers with a JSON-able result. What ends or moves the conversation is not done by the tool: it is
returned as `after_turn`, because the agent still has a sentence to finish.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from jsonschema import Draft202012Validator


class ToolError(ValueError):
    """The call cannot be carried out; the text is given to the agent, so that it can say so."""


@dataclass(frozen=True, slots=True)
class AfterTurn:
    """What happens once the agent has finished speaking."""

    action: Literal["hang-up", "transfer"]
    to_number: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    content: Any
    after_turn: AfterTurn | None = None


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool may know of the conversation it was called in."""

    call_id: str
    schema: str
    transfer_number: str
    caller_number: str


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    description: str
    parameters: dict[str, Any]  # a JSON Schema object
    run: Callable[[ToolContext, dict[str, Any]], Awaitable[ToolOutcome]]
    # Irreversible tools wait until the caller's turn has certainly ended: agents start thinking before.
    irreversible: bool = False
    time_limit_s: float = 8.0


_registry: dict[str, Tool] = {}


def register(tool: Tool) -> Tool:
    """Raises ValueError when the name is taken by another tool, SchemaError when its schema is faulty."""
    Draft202012Validator.check_schema(tool.parameters)
    if tool.name in _registry and _registry[tool.name] != tool:
        raise ValueError(f"a tool named {tool.name!r} exists already")
    _registry[tool.name] = tool
    return tool


def all_tools() -> list[Tool]:
    return sorted(_registry.values(), key=lambda tool: tool.name)


def tools_named(names: Iterable[str]) -> dict[str, Tool]:
    """Return the registered tools among `names`; a name nobody registers any more is left out."""
    return {name: _registry[name] for name in names if name in _registry}


def parse_arguments(tool: Tool, arguments: str) -> dict[str, Any]:
    """Decode and check what a language model wrote. Raises ToolError with every fault."""
    try:
        values = json.loads(arguments or "{}")
    except json.JSONDecodeError as error:
        raise ToolError(f"The arguments are not JSON: {error.msg}.") from None
    faults = [fault.message for fault in Draft202012Validator(tool.parameters).iter_errors(values)]
    if faults:
        raise ToolError("The arguments do not fit: " + "; ".join(faults))
    return dict(values)


async def run_tool(tool: Tool, context: ToolContext, arguments: str) -> ToolOutcome:
    """Run a tool within its time limit. Raises ToolError, also for a late answer."""
    values = parse_arguments(tool, arguments)
    try:
        async with asyncio.timeout(tool.time_limit_s):
            return await tool.run(context, values)
    except TimeoutError:
        raise ToolError(f"{tool.name} did not answer within {tool.time_limit_s:g} seconds.") from None
