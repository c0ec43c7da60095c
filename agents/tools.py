"""The registry of tools an agent may call during a conversation.

A room registers its tools when it is loaded, or a source that knows an organisation's own; a conversation offers those
its line allows. A tool gets checked arguments and answers with a JSON-able result. What ends or moves the conversation
is not done by the tool: it is returned as `after_turn`, because the agent still has a sentence to finish.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, ParamSpec, TypeVar

from agents.schemas import SchemaError, faults_of, read_schema
from base.jsontext import JSONTextError, decode
from base.text import to_valid, to_valid_json
from tenants.context import find_tenant, in_tenant

P = ParamSpec("P")
R = TypeVar("R")
Surface = Literal["call", "chat"]

MAX_ARGUMENTS = 64 * 1024  # bytes
MAX_ARGUMENTS_DEPTH = 24


class ToolError(ValueError):
    """The call cannot be carried out; the text is given to the agent, so that it can say so."""


@dataclass(frozen=True, slots=True)
class AfterTurn:
    """What happens once the agent has finished speaking."""

    action: Literal["hang-up", "transfer", "consult"]
    to_number: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    content: Any
    after_turn: AfterTurn | None = None


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool may know of the conversation it was called in. `call_id` is a chat's or a trial's id there."""

    call_id: str
    schema: str
    transfer_number: str
    caller_number: str
    own_number: str = ""  # the number that was called
    said: tuple[str, ...] = ()  # by whoever the agent talks to, newest last
    # A number can be forged: only the carrier's own attestation (STIR/SHAKEN, level A) says that it was not.
    caller_verified: bool = False
    details_by_number: bool = False  # the line's switch: the number alone is proof enough here

    @property
    def knows_caller(self) -> bool:
        """Tell whether details of the caller's own contact may be told without asking for another fact."""
        return self.caller_verified or self.details_by_number


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    description: str
    parameters: dict[str, Any]  # a JSON Schema object
    run: Callable[[ToolContext, dict[str, Any]], Awaitable[ToolOutcome]]
    # Irreversible tools wait until the caller's turn has certainly ended: agents start thinking before.
    irreversible: bool = False
    time_limit_s: float = 8.0
    surfaces: tuple[Surface, ...] = ("call",)
    # For people: `description` is written to a model. Without a title, people see the name.
    title: str = ""
    summary: str = ""

    @property
    def label(self) -> str:
        return self.title or self.name


_registry: dict[str, Tool] = {}
# Return the entered tenant's own tools; told the names that are wanted, or None for all.
Source = Callable[[Iterable[str] | None], list[Tool]]
_sources: list[Source] = []


def register(tool: Tool) -> Tool:
    """Raises ValueError when the name is taken by another tool, SchemaError when its schema is faulty."""
    read_schema(tool.parameters)
    if tool.name in _registry and _registry[tool.name] != tool:
        raise ValueError(f"a tool named {tool.name!r} exists already")
    _registry[tool.name] = tool
    return tool


def register_source(source: Source) -> None:
    """Have tools offered that an organisation has defined itself."""
    if source not in _sources:
        _sources.append(source)


def registered_names() -> frozenset[str]:
    """Return the names that the product's own tools have."""
    return frozenset(_registry)


def all_tools(surface: Surface | None = None) -> list[Tool]:
    """Return the tools of the product and the entered tenant's own, by name."""
    tools = {tool.name: tool for source in _sources for tool in source(None)} | _registry
    return [tools[name] for name in sorted(tools) if surface is None or surface in tools[name].surfaces]


def tool_choices(surface: Surface | None = None) -> list[tuple[str, str]]:
    """Return a form's choices of tools: names, and the labels that people read, by label."""
    return sorted(((tool.name, tool.label) for tool in all_tools(surface)), key=lambda choice: choice[1].casefold())


def tools_named(names: Iterable[str], surface: Surface | None = None) -> dict[str, Tool]:
    """Return the tools among `names`, the entered tenant's own included; a name nobody has any more is left out."""
    wanted = list(names)
    own = [name for name in wanted if name not in _registry]
    found = {tool.name: tool for source in _sources for tool in source(own)} if own else {}
    tools = {name: _registry.get(name) or found.get(name) for name in wanted}
    return {name: tool for name, tool in tools.items() if tool and (surface is None or surface in tool.surfaces)}


def parse_arguments(tool: Tool, arguments: str) -> dict[str, Any]:
    """Decode and check what a language model wrote. Raises ToolError with every fault."""
    try:
        values = decode(arguments or "{}", max_depth=MAX_ARGUMENTS_DEPTH, max_bytes=MAX_ARGUMENTS)
    except JSONTextError as error:
        raise ToolError(f"The arguments cannot be read. {error}") from None
    if not isinstance(values, dict):
        raise ToolError("The arguments must be a JSON object.")
    check_arguments(tool.parameters, values)
    return values


def check_arguments(parameters: dict[str, Any], values: Any) -> None:
    """Check within bounds of time, as calls wait meanwhile. Raises ToolError with the faults."""
    try:
        faults = faults_of(read_schema(parameters), values)
    except SchemaError as error:  # kept before schemas were looked at
        raise ToolError(f"The description of this tool's arguments cannot be used: {error}") from None
    if faults:
        raise ToolError("The arguments do not fit: " + "; ".join(faults))


async def run_tool(tool: Tool, context: ToolContext, arguments: str) -> ToolOutcome:
    """Run a tool within its time limit. Raises ToolError, also for a late answer."""
    values = parse_arguments(tool, arguments)
    try:
        async with asyncio.timeout(tool.time_limit_s):
            return await tool.run(context, values)
    except TimeoutError:
        raise ToolError(f"{tool.name} did not answer within {tool.time_limit_s:g} seconds.") from None


async def run_in_tenant(context: ToolContext, work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a tool's synchronous part where the conversation belongs, in a thread."""
    from channels.db import database_sync_to_async

    tenant = await database_sync_to_async(find_tenant, thread_sensitive=False)(context.schema)
    return await in_tenant(tenant, work, *args, **kwargs)


def as_text(content: object) -> str:
    """Return a tool's result as a model is told it."""
    return to_valid(content) if isinstance(content, str) else json.dumps(to_valid_json(content), ensure_ascii=False)
