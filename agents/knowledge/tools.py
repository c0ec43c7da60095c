"""The tool by which an agent looks something up."""

from __future__ import annotations

from typing import Any

from agents.knowledge.services.asking import ask_knowledge
from agents.organisation.models import agent_settings
from agents.tools import Tool, ToolContext, ToolOutcome, register, run_in_tenant

PASSAGES = 3


def _search_knowledge(context: ToolContext, arguments: dict[str, Any]) -> dict[str, Any]:
    found = ask_knowledge(question=str(arguments["question"]), earlier=context.said, limit=PASSAGES).found
    if not found:
        return {"ok": True, "found": [], "say": agent_settings().nothing_found_text}
    return {"ok": True, "found": [{"text": one.text, "source": one.source} for one in found]}


async def _run(context: ToolContext, arguments: dict[str, Any]) -> ToolOutcome:
    return ToolOutcome(await run_in_tenant(context, _search_knowledge, context, arguments))


search_knowledge = register(
    Tool(
        name="search_knowledge",
        title="Search knowledge",
        summary="Looks in your documents before it answers questions about services, prices or rules.",
        description="Look up what this organisation has written down: services, prices, rules, how things are done. Use it "
        "before you answer such a question. When nothing was found, tell the sentence in `say` and do not guess.",
        parameters={
            "type": "object",
            "properties": {
                "question": {
                    "type": "string",
                    "description": "What is to be found out, as one whole question with all names in it.",
                    "maxLength": 500,
                }
            },
            "required": ["question"],
            "additionalProperties": False,
        },
        run=_run,
        surfaces=("call", "chat"),
    )
)
