"""The line's agent answers texts: once each, within limits, until a person does or is asked for."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from billing.models import LedgerEntry
from crm.enums import FactSource
from crm.models import Contact
from crm.services.contacts import set_do_not_contact
from sandbox.deepgram.brain import Thought, ToolUse
from sandbox.models.account import Fault, Kind
from telephony.models import Line
from telephony.texting import tasks
from telephony.texting.enums import Answering, Author, State, Stopped
from telephony.texting.models import Conversation, Message
from telephony.texting.services.answering import ATTEMPTS, answer_text, claim, let_agent_answer, unanswered_texts
from telephony.texting.services.setup import texting_settings
from telephony.texting.tests.factories import receive, send
from tenants.context import entered

pytestmark = pytest.mark.usefixtures("one_connection")


@pytest.fixture
def agent(line, models):
    texting_settings().agent_lines.add(line)
    return line


def work():
    """Do what the worker does with everything that waits for the agent."""
    for pk in list(Message.objects.filter(answering=Answering.WANTED).values_list("pk", flat=True)):
        tasks.answer.apply(kwargs={"message_id": pk})


def answers():
    return list(Message.objects.filter(author=Author.AGENT).order_by("id"))


def test_by_default_people_answer(line, models):
    receive("Do you open at nine?")
    assert Message.objects.get().answering == Answering.NONE
    work()
    assert not models.asked and Conversation.objects.get().is_unread


def test_the_lines_agent_answers_once(agent, models, providers, in_alice, bob):
    models.script.append(Thought("Yes, at nine."))
    receive("Do you open at nine?")
    work()
    work()
    (answer,) = answers()
    assert (answer.text, answer.state) == ("Yes, at nine.", State.QUEUED)
    assert [sent["Body"] for sent in providers.network.sent_messages] == ["Yes, at nine."]
    assert not Conversation.objects.get().is_unread
    asked = models.asked[-1]
    assert "text messages" in asked.system and asked.said[-1].text == "Do you open at nine?"
    kinds = set(LedgerEntry.objects.filter(tenant=in_alice).values_list("kind", flat=True))
    assert kinds == {"text"} and not LedgerEntry.objects.filter(tenant=bob).exists()


def test_it_knows_what_was_said_before(agent, models, providers):
    models.script.extend([Thought("At nine."), Thought("Until six.")])
    receive("When do you open?")
    work()
    receive("And until when?")
    work()
    assert [(one.role, one.text) for one in models.asked[-1].said] == [
        ("user", "When do you open?"),
        ("assistant", "At nine."),
        ("user", "And until when?"),
    ]


def test_of_several_texts_in_a_row_the_last_is_answered(agent, models, providers):
    models.script.append(Thought("Both, yes."))
    receive("Do you open at nine?")
    receive("And do you sell bread?")
    work()
    assert [answer.text for answer in answers()] == ["Both, yes."]
    assert sorted(Message.objects.filter(way="in").values_list("answering", flat=True)) == ["done", "skipped"]


def test_it_stops_when_a_person_answers_and_begins_again_when_told(agent, models, providers, owner):
    models.script.extend([Thought("One."), Thought("Two.")])
    receive("First")
    send("I take this over.", by=owner)
    work()
    receive("Second")
    work()
    assert answers() == [] and Conversation.objects.get().agent_stopped == Stopped.PERSON
    assert Conversation.objects.get().is_unread
    let_agent_answer(conversation=Conversation.objects.get())
    receive("Third")
    work()
    assert [answer.text for answer in answers()] == ["One."]


def test_a_person_who_is_quicker_than_the_model_wins(agent, models, providers, owner, monkeypatch):
    from telephony.texting.services import answering

    receive("Hello")
    models.script.append(Thought("Too late."))
    original = answering._write

    def interrupted(draft, answer):
        send("I am here.", by=owner)
        return original(draft, answer)

    monkeypatch.setattr(answering, "_write", interrupted)
    work()
    assert answers() == [] and [sent["Body"] for sent in providers.network.sent_messages] == ["I am here."]


def test_it_hands_over_to_a_person(agent, models, providers):
    models.script.extend(
        [Thought(tool=ToolUse("hand_over_to_person", {"reason": "a refund"})), Thought("A person will write.")]
    )
    receive("I want to talk to a human")
    work()
    conversation = Conversation.objects.get()
    assert (conversation.agent_stopped, conversation.is_unread) == (Stopped.ASKED, True)
    assert [answer.text for answer in answers()] == ["A person will write."]
    receive("Hello?")
    work()
    assert len(answers()) == 1


def test_answers_are_bounded_for_a_conversation_and_an_hour(agent, models, providers):
    settings = texting_settings()
    settings.answers_per_hour = 2
    settings.save()
    models.script.extend(Thought(f"{n}") for n in range(5))
    for n in range(4):
        receive(f"{n}?")
        work()
    assert len(answers()) == 2 and Conversation.objects.get().is_unread
    models.script.extend([Thought("Somebody else.")])
    receive("Me too", From="+15557002")
    work()
    assert len(answers()) == 3


@pytest.mark.parametrize("word", ["STOP", "HELP"])
def test_keywords_are_not_the_agents(agent, models, word):
    receive(word)
    assert not Message.objects.exclude(answering=Answering.NONE).exists()


def test_who_wants_no_contact_is_not_answered(agent, models, providers):
    receive("Hello")
    set_do_not_contact(contact=Contact.objects.get(), source=FactSource.CALL)
    work()
    receive("Hello again")
    work()
    assert answers() == [] and not models.asked


def test_do_not_contact_said_in_a_text_ends_it(agent, models, providers):
    models.script.extend([Thought(tool=ToolUse("set_do_not_contact", {})), Thought("Noted.")])
    receive("Never contact me again, in any way")
    work()
    (answer,) = answers()
    assert (answer.state, answer.refusal) == (State.BLOCKED, "do-not-contact")
    assert providers.network.sent_messages == []


def test_words_and_short_codes_are_not_answered(agent, models):
    receive("Your code is 1", From="MYBANK")
    assert Message.objects.get().answering == Answering.NONE


def test_a_model_in_trouble_is_asked_again_and_then_left_to_people(agent, models, providers):
    receive("Hello")
    message = Message.objects.get()
    models.faults.append(Fault(Kind.STATUS, times=100, status=503))
    for attempt in range(ATTEMPTS):
        assert not answer_text(message_id=message.pk)
        message.refresh_from_db()
        assert message.answer_attempts == attempt + 1
    assert message.answering == Answering.FAILED and Conversation.objects.get().is_unread


def test_a_worker_that_died_is_made_up_for(agent, models, providers):
    receive("Hello")
    message = Message.objects.get()
    assert claim(message.pk) is not None and claim(message.pk) is None
    assert unanswered_texts() == []
    later = timezone.now() + timedelta(minutes=5)
    unanswered_texts(now=later)
    assert unanswered_texts(now=later + timedelta(minutes=1)) == [message.pk]


def test_another_organizations_line_is_another_matter(agent, models, bob):
    receive("Hello", To="+15550200")
    with entered(bob):
        assert Message.objects.get().answering == Answering.NONE


def test_a_line_without_an_agent_answers_by_its_prompt(agent, models, providers):
    Line.objects.filter(pk=agent.pk).update(agent=None, prompt="You sell bread.")
    models.script.append(Thought("Fresh bread."))
    receive("What do you sell?")
    work()
    assert "You sell bread." in models.asked[-1].system
