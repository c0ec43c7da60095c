"""The tools of a call: end it, bring in a person or a specialist, send the caller a text message."""

from __future__ import annotations

from typing import Any

from agents.tools import AfterTurn, Tool, ToolContext, ToolError, ToolOutcome, register, run_in_tenant
from telephony.services.texting import TextingError, text_caller


async def _end_call(context: ToolContext, arguments: dict[str, Any]) -> ToolOutcome:
    return ToolOutcome({"ok": True}, AfterTurn("hang-up", note=str(arguments.get("reason", ""))))


async def _transfer_to_person(context: ToolContext, arguments: dict[str, Any]) -> ToolOutcome:
    if not context.transfer_number:
        raise ToolError("No person can be reached on this line. Offer to take a message instead.")
    return ToolOutcome({"ok": True}, AfterTurn("transfer", context.transfer_number, str(arguments.get("reason", ""))))


async def _consult_specialist(context: ToolContext, arguments: dict[str, Any]) -> ToolOutcome:
    """The caller is asked first, by the call itself: what comes of it the agent is told when it is time."""
    note = str(arguments["question"])
    return ToolOutcome({"ok": True, "note": "The caller is being asked. Say nothing yet."}, AfterTurn("consult", note=note))


async def _send_sms(context: ToolContext, arguments: dict[str, Any]) -> ToolOutcome:
    try:
        return ToolOutcome(await run_in_tenant(context, _text, context, str(arguments["text"])))
    except TextingError as error:
        raise ToolError(str(error)) from None


def _text(context: ToolContext, text: str) -> dict[str, Any]:
    is_new = text_caller(
        call_id=context.call_id, from_number=context.own_number, to_number=context.caller_number, text=text
    )
    return {"ok": True, "sent": is_new, **({} if is_new else {"note": "This very text was sent already."})}


end_call = register(
    Tool(
        name="end_call",
        title="End the call",
        summary="Hangs up once both sides have said goodbye.",
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
        title="Transfer to a person",
        summary="Puts the caller through to the line's transfer number.",
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

consult_specialist = register(
    Tool(
        name="consult_specialist",
        title="Ask a specialist",
        summary="Has your other agents answer a difficult question, if the caller agrees.",
        description="Have specialists answer a question that you cannot answer well, or that the caller wants an expert "
        "for. The caller is asked for consent by itself: do not ask, and say nothing until you are told what they found.",
        parameters={
            "type": "object",
            "properties": {
                "question": {
                    "type": "string",
                    "description": "What the specialists should answer, with everything the caller said about it.",
                    "maxLength": 1000,
                }
            },
            "required": ["question"],
            "additionalProperties": False,
        },
        run=_consult_specialist,
    )
)

send_sms = register(
    Tool(
        name="send_sms",
        title="Send a text",
        summary="Texts the caller something in writing, such as an address or a link.",
        description="Send the caller a text message with what they want to have in writing, such as an address or a link. "
        "Ask first. It goes to the number they call from.",
        parameters={
            "type": "object",
            "properties": {
                "text": {"type": "string", "description": "The whole message.", "minLength": 1, "maxLength": 640}
            },
            "required": ["text"],
            "additionalProperties": False,
        },
        run=_send_sms,
        irreversible=True,
        time_limit_s=12.0,
    )
)
