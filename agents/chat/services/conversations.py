"""Conversations, and what people do with them."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from agents.chat import stream
from agents.chat.enums import UNFINISHED, Author, ChosenBy, State
from agents.chat.models import INTERRUPTED, Conversation, Message
from agents.models import Agent
from tenants.celery import publish
from tenants.models import User

MAX_CHARACTERS = 20_000
TITLE_LENGTH = 80


class ChatError(ValueError):
    """It cannot be done; the text is for the person who asked."""


def start_conversation(*, user: User, agent: Agent | None) -> Conversation:
    """Begin a conversation: with this agent, or with whom the moderator chooses."""
    chosen_by = ChosenBy.MODERATOR if agent is None else ChosenBy.HAND
    return Conversation.objects.create(user=user, agent=agent, chosen_by=chosen_by)


def choose_agent(*, conversation: Conversation, agent: Agent | None) -> None:
    conversation.chosen_by = ChosenBy.MODERATOR if agent is None else ChosenBy.HAND
    conversation.agent = agent
    conversation.save(update_fields=["chosen_by", "agent"])


def send_message(*, conversation: Conversation, text: str) -> Message:
    """Add what somebody says, and have it answered. Return the answer to come. Raises ChatError."""
    text = text.replace("\0", "").strip()
    if not text:
        raise ChatError("Write something first.")
    if len(text) > MAX_CHARACTERS:
        raise ChatError(f"That is longer than {MAX_CHARACTERS:,} characters. Send it in parts.")
    try:
        with transaction.atomic():
            Conversation.objects.select_for_update().get(pk=conversation.pk)
            position = _next_position(conversation)
            said = Message(conversation=conversation, position=position, author=Author.USER, text=text)
            said.save()
            answer = _await_answer(conversation, position + 1)
            values: dict[str, object] = {"changed_at": timezone.now()}
            if not conversation.title:
                values["title"] = conversation.title = _title(text)
            Conversation.objects.filter(pk=conversation.pk).update(**values)
    except IntegrityError:
        raise ChatError("The last answer is still being written. Wait for it, or stop it.") from None
    return answer


def retry_answer(*, message: Message) -> Message:
    """Have the conversation's last answer written anew, in place of the one there is. Raises ChatError."""
    conversation = message.conversation
    with transaction.atomic():
        Conversation.objects.select_for_update().get(pk=conversation.pk)
        last = conversation.messages.order_by("-position").first()
        if last is None or last.pk != message.pk or not message.is_from_agent or message.is_unfinished:
            raise ChatError("Only the last answer can be asked for again.")
        position = message.position
        message.delete()
        return _await_answer(conversation, position)


def stop_answer(*, message: Message) -> None:
    """Have an answer end where it is. One that nobody has begun ends at once."""
    stream.order_stop(message.pk)
    waiting = Message.objects.filter(pk=message.pk, state=State.WAITING)
    if waiting.update(state=State.STOPPED, finished_at=timezone.now()):
        stream.write(message.pk, "end", state=State.STOPPED)


def delete_conversation(*, conversation: Conversation) -> None:
    for message in conversation.messages.filter(state__in=UNFINISHED):
        stop_answer(message=message)
    conversation.delete()


def resume_unfinished(*, now: datetime | None = None) -> None:
    """Queue answers whose message was lost, and end those whose worker is gone: half an answer is not repeated."""
    now = now or timezone.now()
    for message in Message.objects.filter(state=State.ANSWERING, claimed_until__lt=now):
        ended = Message.objects.filter(pk=message.pk, state=State.ANSWERING, claimed_until=message.claimed_until)
        if ended.update(state=State.FAILED, problem=INTERRUPTED, finished_at=now):
            stream.write(message.pk, "end", state=State.FAILED)
    lost = Message.objects.filter(state=State.WAITING, created_at__lt=now - timedelta(seconds=10))
    for message in lost[:100]:
        hand_out(message)


def hand_out(message: Message) -> None:
    from agents.chat import tasks

    publish(tasks.answer, message_id=str(message.pk))


def _await_answer(conversation: Conversation, position: int) -> Message:
    answer = Message(conversation=conversation, position=position, author=Author.ASSISTANT, state=State.WAITING)
    answer.save()
    transaction.on_commit(lambda: hand_out(answer))
    return answer


def _next_position(conversation: Conversation) -> int:
    return int(conversation.messages.aggregate(last=Max("position"))["last"] or 0) + 1


def _title(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= TITLE_LENGTH else line[: TITLE_LENGTH - 1].rsplit(" ", 1)[0] + "…"
