"""The line's agent answers text messages, where the organization wants that: once each, within limits.

It stops as soon as a person answers, or is asked for.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from asgiref.sync import async_to_sync
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from agents.briefs import Brief
from agents.composing import compose
from agents.dialogue import DEADLINE_S, Answer, ask_agent
from agents.dialogue import Conversation as Dialogue
from agents.instructions import values_for
from agents.llm.base import LlmError, Turn
from agents.llm.closing import close_clients
from agents.llm.metering import Purpose, charged_to, written_at_the_end
from agents.tools import Tool, ToolContext, ToolOutcome, tools_named
from billing.enums import Kind
from crm.services.calls import caller_context
from crm.services.contactability import Channel, may_contact
from telephony.models import Line
from telephony.services.answering import version_of
from telephony.texting.enums import Answering, Author, Stopped, Way
from telephony.texting.models import Conversation, Message
from telephony.texting.services.conversations import known_contact
from telephony.texting.services.receiving import agents_line
from telephony.texting.services.sending import deliver, write_text
from telephony.texting.services.setup import texting_settings
from tenants.context import current_tenant
from tenants.models import Tenant
from thanos.redis import close_async_client

logger = logging.getLogger("telephony")

CLAIM = timedelta(seconds=DEADLINE_S + 30)
ATTEMPTS = 3
HISTORY = 40  # messages that are looked at; the model gets what fits of them
MAX_OUTPUT_TOKENS = 300
# Tools of calls that make sense in writing too; what ends or moves a call does not.
IN_WRITING = ("set_do_not_contact", "add_note", "create_task", "take_message", "save_contact_details")
HAND_OVER = "hand_over_to_person"


@dataclass(slots=True)
class _Draft:
    """What is asked, and whether the agent has called for a person meanwhile."""

    message: Message
    dialogue: Dialogue | None = None
    said: str = ""
    hands_over: list[str] = field(default_factory=list)


def answer_text(*, message_id: int) -> bool:
    """Have the agent answer a message that waits for it. Safe to repeat; return whether an answer was written."""
    message = claim(message_id)
    if message is None:
        return False
    tenant, draft = current_tenant(), _Draft(message)
    if not _prepare(draft, tenant):
        _settle(message, Answering.SKIPPED)
        return False
    purpose = Purpose(Kind.TEXT, str(message.conversation_id), tenant.schema_name)
    try:
        with written_at_the_end(), charged_to(purpose):
            answer = async_to_sync(_ask)(draft)
    except LlmError as error:
        may_retry = error.retryable and message.answer_attempts < ATTEMPTS
        logger.warning("A text message was not answered by the agent.", extra={"text": message.pk, "why": str(error)})
        _settle(message, Answering.WANTED if may_retry else Answering.FAILED)
        return False
    written = _write(draft, answer)
    if written is not None:
        deliver(message_id=written.pk, retry_busy=True)
    return written is not None


def claim(message_id: int, *, now: datetime | None = None) -> Message | None:
    now = now or timezone.now()
    waiting = Message.objects.filter(pk=message_id, answering=Answering.WANTED)
    if not waiting.update(answering=Answering.RUNNING, answer_until=now + CLAIM, answer_attempts=F("answer_attempts") + 1):
        return None
    return Message.objects.select_related("conversation__contact").get(pk=message_id)


def _settle(message: Message, answering: Answering) -> None:
    Message.objects.filter(pk=message.pk, answering=Answering.RUNNING).update(
        answering=answering, answer_until=timezone.now()
    )


def _prepare(draft: _Draft, tenant: Tenant, now: datetime | None = None) -> bool:
    """Gather what the agent is asked with; return False when it is not to answer."""
    message, now = draft.message, now or timezone.now()
    conversation, settings = message.conversation, texting_settings()
    line = agents_line(conversation, settings)
    later = conversation.messages.filter(way=Way.IN, pk__gt=message.pk).exists()  # that one will be answered
    if line is None or later or conversation.agent_stopped or not tenant.is_active:
        return False
    if may_contact(channel=Channel.TEXT, number=conversation.other, contact=conversation.contact) is not None:
        return False
    mine = conversation.messages.filter(author=Author.AGENT, call=None)
    if (
        mine.filter(created_at__gt=now - timedelta(hours=1)).count() >= settings.answers_per_hour
        or mine.filter(created_at__gt=now - timedelta(days=1)).count() >= settings.answers_per_day
    ):
        return False
    draft.said = message.text or f"({message.pictures or 'nothing'})"
    draft.dialogue = _dialogue(draft, line, tenant, settings.agent_note)
    return True


def _dialogue(draft: _Draft, line: Line, tenant: Tenant, note: str) -> Dialogue:
    conversation = draft.message.conversation
    version = version_of(line, f"text:{conversation.pk}")
    brief = version.brief() if version is not None else Brief(line.name, line.agent_name, "", "", line.prompt)
    values = values_for(tenant, None, {**line.variables, "agent_name": line.agent_name})
    contact = known_contact(conversation.other)
    parts = [brief.prompt if version is not None else "", line.prompt, note]
    instructions = "\n\n".join(filter(None, (compose(parts, values).text, caller_context(contact) if contact else "")))
    offered = brief.allowed(line.tools)
    tools = tools_named(offered, "chat") | tools_named([name for name in offered if name in IN_WRITING], "call")
    turns = tuple(_turns(conversation, draft.message))
    context = ToolContext(
        call_id=f"text:{conversation.pk}",
        schema=tenant.schema_name,
        transfer_number="",
        caller_number=conversation.other,
        own_number=conversation.own_number,
        said=tuple(turn.text for turn in turns if turn.role == "user"),
    )
    tools = {**tools, HAND_OVER: _hand_over(draft)}
    return Dialogue(brief, instructions, turns, tools, context, max_output_tokens=MAX_OUTPUT_TOKENS)


def _turns(conversation: Conversation, message: Message) -> list[Turn]:
    before = conversation.messages.filter(pk__lt=message.pk).order_by("-pk")[:HISTORY]
    return [
        Turn("user" if one.is_in else "assistant", one.text or f"({one.pictures})")
        for one in reversed(before)
        if (one.text or one.media) and not one.refusal
    ]


def _hand_over(draft: _Draft) -> Tool:
    async def run(context: ToolContext, arguments: dict[str, Any]) -> ToolOutcome:
        draft.hands_over.append(str(arguments.get("reason", "")))
        return ToolOutcome({"ok": True, "note": "A person will answer. Say so in one sentence."})

    return Tool(
        name=HAND_OVER,
        description="Have a person answer from now on. Use it when they ask for one, or when you cannot help.",
        parameters={
            "type": "object",
            "properties": {"reason": {"type": "string", "description": "What it is about, in a few words."}},
            "additionalProperties": False,
        },
        run=run,
        surfaces=("chat",),
    )


async def _ask(draft: _Draft) -> Answer:
    assert draft.dialogue is not None
    try:
        return await ask_agent(draft.dialogue, draft.said)
    finally:
        await close_clients()
        await close_async_client()


def _write(draft: _Draft, answer: Answer) -> Message | None:
    """Write the answer down, unless a person was quicker; return it. An agent that says nothing has not answered."""
    message, hands_over = draft.message, bool(draft.hands_over)
    text = answer.text.strip() or (texting_settings().handover_text if hands_over else "")
    with transaction.atomic():
        conversation = Conversation.objects.select_for_update().get(pk=message.conversation_id)
        mine = Message.objects.filter(pk=message.pk, answering=Answering.RUNNING)
        if conversation.agent_stopped:
            mine.update(answering=Answering.SKIPPED)
            return None
        if not mine.update(answering=Answering.DONE if text else Answering.FAILED):
            return None
        if hands_over:
            conversation.agent_stopped = Stopped.ASKED
        conversation.is_unread = hands_over or not text
        conversation.save(update_fields=["agent_stopped", "is_unread"])
        if not text:
            return None
        written, _ = write_text(
            own_number=conversation.own_number,
            to=conversation.other,
            text=text,
            author=Author.AGENT,
            key=f"answer:{message.pk}",
        )
    return written


def let_agent_answer(*, conversation: Conversation) -> None:
    """Have the agent answer again what comes in from now on."""
    Conversation.objects.filter(pk=conversation.pk).update(agent_stopped=Stopped.NONE)


def unanswered_texts(*, now: datetime | None = None) -> list[int]:
    """Return messages whose task was lost, and give back those whose worker died; after some attempts people answer."""
    now = now or timezone.now()
    died = Message.objects.filter(answering=Answering.RUNNING, answer_until__lt=now)
    died.filter(answer_attempts__gte=ATTEMPTS).update(answering=Answering.FAILED)
    died.update(answering=Answering.WANTED, answer_until=now)
    late = Message.objects.filter(answering=Answering.WANTED, answer_until__lt=now - timedelta(seconds=10))
    return list(late.order_by("id").values_list("pk", flat=True)[:100])
