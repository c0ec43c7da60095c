from __future__ import annotations

from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.utils import timezone

from agents.chat import stream
from agents.chat.models import Conversation, Message
from agents.chat.services import answering, conversations
from agents.chat.services.conversations import ChatError
from agents.knowledge.tests.factories import make_document
from agents.models import Agent
from agents.services import owned
from sandbox.deepgram.brain import Thought, ToolUse
from sandbox.models.account import Fault, Kind
from tenants.context import entered

pytestmark = pytest.mark.usefixtures("in_alice", "one_connection")


@pytest.fixture
def conversation(owner):
    return conversations.start_conversation(user=owner, agent=Agent.objects.get(slug="receptionist"))


def answer(message: Message, tenant) -> Message:
    """Do what the worker does."""
    claimed = answering.claim(str(message.pk))
    assert claimed is not None
    async_to_sync(answering.write)(claimed, tenant)
    message.refresh_from_db()
    return message


def events(message) -> list[dict]:
    async def collect():
        return [entry[1] async for entry in stream.read(message.pk) if entry]

    return async_to_sync(collect)()


def test_a_message_is_answered_and_what_it_took_is_kept(conversation, in_alice, models):
    models.script.append(Thought("Good morning to you."))
    message = answer(conversations.send_message(conversation=conversation, text="Good morning"), in_alice)
    assert (message.state, message.text, message.agent_name) == ("done", "Good morning to you.", "Receptionist")
    assert message.version == Agent.objects.get(slug="receptionist").published
    assert message.output_tokens > 0
    assert message.first_word_ms is not None
    conversation.refresh_from_db()
    assert conversation.title == "Good morning"
    said = events(message)
    assert "".join(one["text"] for one in said if one["kind"] == "text") == message.text
    assert (said[0]["kind"], said[-1]) == ("agent", {"kind": "end", "state": "done"})
    assert "Alice" in models.asked[-1].system


def test_what_goes_over_redis_and_into_the_database_is_sealed(conversation, in_alice, models):
    from django.db import connection

    from thanos.redis import sync_client

    models.script.append(Thought("The password is swordfish."))
    message = answer(conversations.send_message(conversation=conversation, text="Tell me"), in_alice)
    raw = sync_client().xrange(f"chat:{message.pk}")
    assert b"swordfish" not in repr(raw).encode()
    with connection.cursor() as cursor:
        cursor.execute("SELECT text FROM agents_chat_message")
        assert "swordfish" not in repr(cursor.fetchall())


def test_tools_are_used_and_shown(conversation, in_alice, models):
    make_document("Handbook", "# Parking\nCustomers park in the yard.")
    models.script += [Thought(tool=ToolUse("search_knowledge", {"question": "where to park"})), Thought("In the yard.")]
    message = answer(conversations.send_message(conversation=conversation, text="Where do I park?"), in_alice)
    assert message.text == "In the yard."
    (used,) = message.used
    assert (used["name"], used["failed"]) == ("search_knowledge", False)
    assert "Customers park in the yard." in used["result"]
    assert [one["name"] for one in events(message) if one["kind"] == "tool"] == ["search_knowledge"]
    assert "end_call" not in models.asked[0].tools  # of the telephone


def test_the_moderator_chooses_for_each_question(owner, in_alice, models):
    conversation = conversations.start_conversation(user=owner, agent=None)
    models.script += [Thought(tool=ToolUse("choose_agents", {"agents": ["tax-questions"]})), Thought("It depends.")]
    message = answer(conversations.send_message(conversation=conversation, text="When is sales tax due?"), in_alice)
    assert message.agent_name == "Tax questions"
    assert "moderator of the agents" in models.asked[0].system
    models.script += [Thought(tool=ToolUse("choose_agents", {"agents": []})), Thought("Nice.")]
    message = answer(conversations.send_message(conversation=conversation, text="Thanks"), in_alice)
    assert message.agent_name == "Tax questions"  # nobody suits better: whoever answered before


def test_what_was_said_before_is_known(conversation, in_alice, models):
    models.script += [Thought("Hello Ann."), Thought("You are Ann.")]
    answer(conversations.send_message(conversation=conversation, text="I am Ann"), in_alice)
    answer(conversations.send_message(conversation=conversation, text="Who am I?"), in_alice)
    assert [(one.role, one.text) for one in models.asked[-1].said] == [
        ("user", "I am Ann"),
        ("assistant", "Hello Ann."),
        ("user", "Who am I?"),
    ]


def test_one_answer_at_a_time(conversation, in_alice, models):
    first = conversations.send_message(conversation=conversation, text="One")
    with pytest.raises(ChatError, match="still being written"):
        conversations.send_message(conversation=conversation, text="Two")
    assert conversation.messages.count() == 2
    assert answering.claim(str(first.pk)) is not None
    assert answering.claim(str(first.pk)) is None  # the same task, twice
    assert not answering.write_answer(message_id=str(first.pk))


@pytest.mark.parametrize(("text", "why"), [("  \0", "Write something"), ("x" * 20_001, "longer than")])
def test_messages_that_are_none(conversation, text, why):
    with pytest.raises(ChatError, match=why):
        conversations.send_message(conversation=conversation, text=text)


def test_it_stops_when_told_to(conversation, in_alice, models):
    models.faults.append(Fault(Kind.SLOW, after_s=0.06))
    models.script.append(Thought("one two three four five six seven eight"))
    message = conversations.send_message(conversation=conversation, text="Count")
    conversations.stop_answer(message=message)
    message.refresh_from_db()
    assert message.state == "stopped"
    assert answering.claim(str(message.pk)) is None

    message = conversations.send_message(conversation=conversation, text="Count again")
    claimed = answering.claim(str(message.pk))
    stream.order_stop(message.pk)
    async_to_sync(answering.write)(claimed, in_alice)
    message.refresh_from_db()
    assert message.state == "stopped"
    assert message.text != "one two three four five six seven eight"


def test_a_failed_answer_says_what_to_do_and_can_be_tried_again(conversation, in_alice, models):
    models.faults.append(Fault(Kind.STATUS, status=401))
    message = answer(conversations.send_message(conversation=conversation, text="Hello"), in_alice)
    assert (message.state, message.problem) == ("failed", "refused-key")
    assert "refused our key" in message.explanation
    again = conversations.retry_answer(message=message)
    assert again.position == message.position
    models.script.append(Thought("Hello."))
    assert answer(again, in_alice).text == "Hello."
    with pytest.raises(ChatError, match="last answer"):
        conversations.retry_answer(message=conversation.messages.get(position=1))


def test_an_agent_that_is_gone(conversation, in_alice, models):
    Agent.objects.filter(slug="receptionist").update(is_active=False)
    message = answer(conversations.send_message(conversation=conversation, text="Hello"), in_alice)
    assert (message.state, message.problem) == ("failed", "no-agent")
    assert "not available any more" in message.explanation


def test_a_worker_that_dies_leaves_an_answer_to_try_again_and_a_lost_message_is_queued(conversation, in_alice, monkeypatch):
    message = conversations.send_message(conversation=conversation, text="Hello")
    answering.claim(str(message.pk))
    conversations.resume_unfinished(now=timezone.now() + timedelta(seconds=30))
    message.refresh_from_db()
    assert message.state == "answering"
    conversations.resume_unfinished(now=timezone.now() + timedelta(minutes=5))
    message.refresh_from_db()
    assert (message.state, message.problem) == ("failed", "interrupted")
    assert events(message) == [{"kind": "end", "state": "failed"}]

    queued = []
    monkeypatch.setattr(conversations, "hand_out", lambda one: queued.append(one.pk))
    waiting = conversations.send_message(conversation=conversation, text="Hello?")
    queued.clear()
    conversations.resume_unfinished(now=timezone.now() + timedelta(seconds=20))
    assert queued == [waiting.pk]


def test_another_organisations_agents_and_documents_are_not_used(owner, in_alice, bob, stranger, models):
    with entered(bob):
        make_document("Bob's plans", "The treasure is under the oak.")
        values = {"name": "Bob's", "specialty": "Treasure", "prompt": "Secret."}
        bobs = owned.create_agent(tenant=bob, values=values, by=stranger, is_published=True)
    conversation = conversations.start_conversation(user=owner, agent=bobs)
    message = answer(conversations.send_message(conversation=conversation, text="Hello"), in_alice)
    assert message.problem == "no-agent"
    conversation = conversations.start_conversation(user=owner, agent=Agent.objects.get(slug="receptionist"))
    models.script += [Thought(tool=ToolUse("search_knowledge", {"question": "treasure oak"})), Thought("No idea.")]
    message = answer(conversations.send_message(conversation=conversation, text="Where is it?"), in_alice)
    assert "oak." not in message.used[0]["result"]
    with entered(bob):
        assert not Conversation.objects.exists()
