from __future__ import annotations

import json

import pytest
from asgiref.sync import async_to_sync

from agents.chat import stream
from agents.chat.models import Conversation, Message
from agents.chat.rendering import render_answer
from agents.chat.services import conversations
from agents.models import Agent
from tenants.context import entered


@pytest.fixture
def client(visit, owner):
    return visit(owner)


@pytest.fixture
def conversation(alice, owner):
    with entered(alice):
        return conversations.start_conversation(user=owner, agent=Agent.objects.get(slug="receptionist"))


def finish(alice, message, **values):
    with entered(alice):
        Message.objects.filter(pk=message.pk).update(**{"state": "done", "text": "**Yes.**", **values})


def test_a_conversation_is_begun_and_goes_on(client, alice):
    page = client.get("/agents/chat/").content.decode()
    assert "Your conversations are kept here" in page
    assert "Receptionist" in page
    assert 'value="moderator"' not in page
    begun = client.post("/agents/chat/", {"agent": "receptionist", "text": "Hello"})
    page = client.get(begun.url).content.decode()
    assert "Hello" in page
    assert "data-stream" in page
    assert "http-equiv" in page  # without a script the page comes again by itself
    again = client.post(f"{begun.url}send/", {"text": "And?"}, follow=True).content.decode()
    assert "still being written" in again
    with entered(alice):
        message = Message.objects.get(author="assistant")
    finish(alice, message)
    page = client.get(begun.url).content.decode()
    assert "<strong>Yes.</strong>" in page
    assert "Try again" in page
    assert "data-stream" not in page
    whole = client.get(f"{begun.url}{message.pk}/").content.decode()
    assert "<strong>Yes.</strong>" in whole
    assert client.post(f"{begun.url}{message.pk}/retry/").status_code == 302
    client.post(f"{begun.url}delete/")
    with entered(alice):
        assert not Conversation.objects.exists()


def test_who_answers_can_be_changed(client, alice, conversation):
    url = conversation.get_absolute_url()
    client.post(f"{url}agent/", {"agent": ""})
    with entered(alice):
        assert Conversation.objects.get().chosen_by == "moderator"
    assert client.post(f"{url}agent/", {"agent": "moderator"}).status_code == 404
    assert client.post("/agents/chat/", {"agent": "nobody"}).status_code == 404
    client.post(f"{url}agent/", {"agent": "scheduling"})
    with entered(alice):
        assert Conversation.objects.get().agent.slug == "scheduling"


def test_a_conversation_is_its_owners_alone(visit, member, stranger, alice, conversation, bob):
    with entered(alice):
        message = conversations.send_message(conversation=conversation, text="Secret")
    url = conversation.get_absolute_url()
    for client in (visit(member), visit(stranger), visit(stranger, host="bob.test")):
        for path in ("", f"{message.pk}/", f"{message.pk}/stream/"):
            assert client.get(url + path).status_code == 404
        for path in ("send/", "agent/", "delete/", f"{message.pk}/stop/", f"{message.pk}/retry/"):
            assert client.post(url + path, {"text": "x"}).status_code == 404
        assert "Secret" not in client.get("/agents/chat/").content.decode()


def test_stopping(client, alice, conversation):
    with entered(alice):
        message = conversations.send_message(conversation=conversation, text="Count")
    url = f"{conversation.get_absolute_url()}{message.pk}/stop/"
    assert client.post(url, headers={"hx-request": "true"}).status_code == 204
    assert "Stopped." in client.get(conversation.get_absolute_url()).content.decode()


def test_an_answer_arrives_while_it_is_written(client, alice, conversation):
    with entered(alice):
        message = conversations.send_message(conversation=conversation, text="Hello")
    stream.write(message.pk, "agent", name="Receptionist")
    stream.write(message.pk, "text", text="Good ")
    stream.write(message.pk, "text", text="day")
    stream.write(message.pk, "end", state="done")
    url = f"{conversation.get_absolute_url()}{message.pk}/stream/"

    def follow(**headers):
        answer = client.get(url, headers=headers)
        assert answer.status_code == 200
        assert answer["Content-Type"] == "text/event-stream"

        async def collect():
            return [part.decode() async for part in answer.streaming_content]

        return async_to_sync(collect)()

    parts = follow()
    bodies = [json.loads(part.split("data: ")[1]) for part in parts]
    assert [body["kind"] for body in bodies] == ["agent", "text", "text", "end"]
    first = parts[1].split("\n")[0].removeprefix("id: ")
    rest = follow(**{"last-event-id": first})
    assert [json.loads(part.split("data: ")[1]).get("text") for part in rest] == ["day", None]


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("<script>alert(1)</script>", "&lt;script&gt;"),
        ("[x](javascript:alert(1))", "[x](javascript"),
        ("![x](https://evil.test/pixel.gif)", "!<a"),
        ("**a** & b", "<strong>a</strong> &amp; b"),
        ("| a |\n|---|\n| b |", "<table>"),
    ],
)
def test_what_a_model_writes_is_shown_and_never_run(text, html):
    shown = render_answer(text)
    assert html in shown
    assert "<script" not in shown
    assert "<img" not in shown
