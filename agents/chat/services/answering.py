"""Writing an answer, in a worker: who answers, with what, and keeping what came of it. Once for each message."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

from django.utils import timezone

from agents import selectors
from agents.briefs import Brief
from agents.chat import stream
from agents.chat.enums import Author, ChosenBy, State
from agents.chat.models import NO_AGENT, Conversation, Message
from agents.composing import compose
from agents.dialogue import DEADLINE_S, Answer, Progress, Spoken, Stopped, ToolBegan, ask_agent
from agents.dialogue import Conversation as Dialogue
from agents.instructions import instructions_for, values_for
from agents.llm.base import LlmError, Turn
from agents.llm.closing import close_clients
from agents.llm.metering import Purpose, charged_to, written_at_the_end
from agents.moderating import choose_agents
from agents.tools import ToolContext, tools_named
from agents.tools import all_tools as every_tool
from billing.enums import Kind
from tenants.context import current_tenant, in_tenant
from tenants.models import Tenant
from thanos.redis import close_async_client

CLAIM = timedelta(seconds=DEADLINE_S + 30)
FLUSH_S = 0.04
FIRST = "receptionist"  # who answers what suits nobody in particular
HISTORY = 60  # messages that are looked at; the model gets what fits of them


def write_answer(*, message_id: str) -> bool:
    """Answer a message that waits. Safe to repeat, and to run twice; return whether it was ours to answer."""
    message = claim(message_id)
    if message is None:
        return False
    with written_at_the_end():
        asyncio.run(_write_and_close(message, current_tenant()))
    return True


def claim(message_id: str) -> Message | None:
    waiting = Message.objects.filter(pk=message_id, state=State.WAITING)
    if not waiting.update(state=State.ANSWERING, claimed_until=timezone.now() + CLAIM):
        return None
    return Message.objects.select_related("conversation").get(pk=message_id)


async def _write_and_close(message: Message, tenant: Tenant) -> None:
    try:
        await write(message, tenant)
    finally:
        await close_clients()
        await close_async_client()


async def write(message: Message, tenant: Tenant) -> None:
    """Answer a message that was claimed, and keep what came of it, whatever that is."""
    with charged_to(Purpose(Kind.CHAT, str(message.conversation_id), tenant.schema_name)):
        await _write(message, tenant)


async def _write(message: Message, tenant: Tenant) -> None:
    writer, brief = _Writer(message), None
    try:
        said, turns = await in_tenant(tenant, _history, message)
        brief = await _who(message.conversation, tenant, said, turns)
        if brief is None:
            await in_tenant(tenant, _finish, message, State.FAILED, Answer(), None, NO_AGENT)
            return
        dialogue = await in_tenant(tenant, _dialogue, message, brief, tenant, turns)
        stream.write(message.pk, "agent", name=brief.name)
        answer = await ask_agent(dialogue, said, on_progress=writer.take, is_stopped=writer.is_stopped)
        writer.flush()
        await in_tenant(tenant, _finish, message, State.DONE, answer, brief)
    except Stopped as stopped:
        writer.flush()
        await in_tenant(tenant, _finish, message, State.STOPPED, stopped.answer, brief)
    except LlmError as error:
        await in_tenant(tenant, _finish, message, State.FAILED, Answer(text=writer.text), brief, error.code.value)


class _Writer:
    """Passes words on in small groups: each alone would be a round trip for every token."""

    def __init__(self, message: Message) -> None:
        self._id = message.pk
        self._held = ""
        self._flushed_at = 0.0
        self._asked_at = 0.0
        self.text = ""

    def take(self, progress: Progress) -> None:
        match progress:
            case Spoken(text):
                self._held += text
                self.text += text
                if time.monotonic() - self._flushed_at >= FLUSH_S:
                    self.flush()
            case ToolBegan(call):
                self.flush()
                stream.write(self._id, "tool", name=call.name)

    def flush(self) -> None:
        if self._held:
            stream.write(self._id, "text", text=self._held)
        self._held = ""
        self._flushed_at = time.monotonic()

    def is_stopped(self) -> bool:
        now = time.monotonic()
        if now - self._asked_at < FLUSH_S:
            return False
        self._asked_at = now
        return stream.is_stop_ordered(self._id)


def _history(message: Message) -> tuple[str, tuple[Turn, ...]]:
    """Return the question, and the turns before it; answers that failed say nothing, and neither do their questions."""
    before = message.conversation.messages.filter(position__lt=message.position).order_by("-position")[:HISTORY]
    messages = list(reversed(before))
    question = messages.pop()
    turns: list[Turn] = []
    for one in messages:
        if one.author == Author.USER:
            turns.append(Turn("user", one.text))
        elif one.text:
            turns.append(Turn("assistant", one.text))
        elif turns:
            turns.pop()
    return question.text, tuple(turns)


async def _who(conversation: Conversation, tenant: Tenant, said: str, turns: tuple[Turn, ...]) -> Brief | None:
    briefs = await in_tenant(tenant, selectors.available_briefs, tenant)
    agents = selectors.specialists(briefs)
    before = await in_tenant(tenant, lambda: getattr(conversation.agent, "slug", None))
    current = next((agent for agent in agents if agent.slug == before), None)
    if conversation.chosen_by == ChosenBy.HAND:
        return current
    moderator = selectors.moderator(briefs)
    if moderator is None:
        return agents[0] if agents else None
    values = await in_tenant(tenant, values_for, tenant, moderator)
    request = "\n".join([*(f"{turn.role}: {turn.text}" for turn in turns[-4:]), f"user: {said}"])
    instructions = compose([moderator.prompt], values).text
    chosen, _ = await choose_agents(moderator=moderator, agents=agents, request=request, instructions=instructions)
    return chosen[0] if chosen else current or next((agent for agent in agents if agent.slug == FIRST), None)


def _dialogue(message: Message, brief: Brief, tenant: Tenant, turns: tuple[Turn, ...]) -> Dialogue:
    offered = brief.allowed(tool.name for tool in every_tool("chat"))
    said = tuple(turn.text for turn in turns if turn.role == "user")
    context = ToolContext(
        call_id=f"chat:{message.conversation_id}",
        schema=tenant.schema_name,
        transfer_number="",
        caller_number="",
        said=said,
    )
    tools = tools_named(offered, "chat")
    return Dialogue(brief, instructions_for(tenant, brief).text, turns=turns, tools=tools, context=context)


def _finish(message: Message, state: State, answer: Answer, brief: Brief | None, problem: str = "") -> None:
    usage = answer.usage
    agent_id = None
    if brief is not None and brief.version_id is not None:
        from agents.models import AgentVersion

        agent_id = AgentVersion.objects.filter(pk=brief.version_id).values_list("agent_id", flat=True).first()
    used = [
        {"name": one.call.name, "arguments": one.call.arguments, "result": one.result[:4000], "failed": one.failed}
        for one in answer.used
    ]
    done = Message.objects.filter(pk=message.pk, state=State.ANSWERING).update(
        state=state,
        problem=problem,
        text=answer.text,
        used=used or None,
        agent_id=agent_id,
        agent_name=brief.name if brief else "",
        version_id=brief.version_id if brief else None,
        model=answer.model,
        input_tokens=usage.input_tokens if usage else None,
        output_tokens=usage.output_tokens if usage else None,
        first_word_ms=answer.first_word_ms,
        duration_ms=answer.duration_ms or None,
        claimed_until=None,
        finished_at=timezone.now(),
    )
    if done:
        changed: dict[str, object] = {"changed_at": timezone.now()}
        if agent_id is not None and message.conversation.chosen_by == ChosenBy.MODERATOR:
            changed["agent_id"] = agent_id
        Conversation.objects.filter(pk=message.conversation_id).update(**changed)
    stream.write(message.pk, "end", state=state)
