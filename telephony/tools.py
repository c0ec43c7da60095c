"""The tools every conversation can have: end the call, and bring in a person."""

from __future__ import annotations

from typing import Any

from agents.tools import AfterTurn, Tool, ToolContext, ToolError, ToolOutcome, register


async def _end_call(context: ToolContext, arguments: dict[str, Any]) -> ToolOutcome:
    return ToolOutcome({"ok": True}, AfterTurn("hang-up", note=str(arguments.get("reason", ""))))


async def _transfer_to_person(context: ToolContext, arguments: dict[str, Any]) -> ToolOutcome:
    if not context.transfer_number:
        raise ToolError("No person can be reached on this line. Offer to take a message instead.")
    return ToolOutcome({"ok": True}, AfterTurn("transfer", context.transfer_number, str(arguments.get("reason", ""))))


end_call = register(
    Tool(
        name="end_call",
        description="End the telephone call. Use it only after both sides have said goodbye.",
        parameters={
            "type": "object",
            "properties": {"reason": {"type": "string", "description": "Why the call ends, in a few words."}},
            "additionalProperties": False,
        },
        run=_end_call,
        irreversible=True,
    )
)

transfer_to_person = register(
    Tool(
        name="transfer_to_person",
        description="Connect the caller to a person. Tell them first. Use it when they ask for one, or you cannot help.",
        parameters={
            "type": "object",
            "properties": {"reason": {"type": "string", "description": "What the person should know, in one sentence."}},
            "additionalProperties": False,
        },
        run=_transfer_to_person,
        irreversible=True,
    )
)
