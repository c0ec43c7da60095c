"""REST: agents, documents and conversations, within an organisation's walls and a token's scopes."""

from __future__ import annotations

import pytest
from asgiref.sync import async_to_sync
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from agents.chat import stream
from agents.chat.models import Message
from agents.knowledge.models import Document
from agents.knowledge.services.indexing import read_and_store
from agents.knowledge.tests.factories import make_document
from agents.services import owned
from tenants.context import entered
from tenants.enums import Scope
from tenants.models import Membership
from tenants.services.tokens import create_token


@pytest.fixture
def api(visit, owner):
    client = visit(owner)

    def call(method, path, body=None):
        options = {} if body is None else {"data": body, "content_type": "application/json"}
        return getattr(client, method)(f"/api/v1{path}", **options)

    return call


@pytest.fixture
def bobs(bob, stranger):
    with entered(bob):
        document = make_document("Bob's plans", "The treasure is under the oak.")
    values = {"name": "Bob's own", "specialty": "Secrets", "prompt": "Secret."}
    return document, owned.create_agent(tenant=bob, values=values, by=stranger, is_published=True)


def test_agents_are_listed_with_what_one_may_know(api, alice, owner, bobs):
    values = {"name": "Mine", "specialty": "S", "prompt": "My prompt."}
    mine = owned.create_agent(tenant=alice, values=values, by=owner, is_published=True)
    found = {one["slug"]: one for one in api("get", "/agents/?page_size=100").json()["results"]}
    assert found[mine.slug]["is_own"] is True
    assert found["receptionist"]["is_own"] is False
    assert bobs[1].slug not in found
    assert "prompt" not in found["receptionist"]
    (version,) = api("get", f"/agents/{mine.slug}/versions/").json()["results"]
    assert version["prompt"] == "My prompt."
    assert api("get", "/agents/receptionist/versions/").status_code == 404
    assert api("get", f"/agents/{bobs[1].slug}/").status_code == 404


def test_a_document_is_handed_in_read_asked_and_deleted(api, alice, bobs):
    made = api("post", "/documents/", {"title": "Rules", "text": "# Parking\nCustomers park in the yard."})
    assert made.status_code == 201
    path = f"/documents/{made.json()['id']}/"
    assert api("get", path).json()["state"] == "waiting"
    with entered(alice):
        read_and_store(document_id=made.json()["id"])
    (found,) = api("get", "/documents/search/?q=where+to+park").json()
    assert (found["heading"], found["text"]) == ("Parking", "Customers park in the yard.")
    assert api("get", "/documents/search/?q=treasure+oak").json() == []
    changed = api("patch", path, {"text": "# Parking\nOn the roof.", "is_active": True})
    assert (changed.status_code, changed.json()["state"]) == (200, "waiting")
    assert api("patch", path, {"questions": [{"question": "q", "answer": "a"}]}).status_code == 400
    assert api("delete", path).status_code == 204
    assert api("get", f"/documents/{bobs[0].pk}/").status_code == 404
    assert api("delete", f"/documents/{bobs[0].pk}/").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"title": "Nothing"},
        {"title": "Both", "text": "a", "questions": [{"question": "q", "answer": "a"}]},
        {"title": "Blank", "text": "  "},
        {"title": 7, "text": "a"},
        {"title": "Half", "questions": [{"question": "q"}]},
        {"title": "Language", "text": "a", "language": "klingon"},
    ],
)
def test_a_document_that_is_none(api, alice, body):
    assert api("post", "/documents/", body).status_code == 400
    with entered(alice):
        assert not Document.objects.exists()


def test_a_file_is_handed_in(visit, owner):
    upload = SimpleUploadedFile("prices.csv", b"Article,Price\nTea,4\n")
    made = visit(owner).post("/api/v1/documents/", {"title": "Prices", "file": upload})
    assert (made.status_code, made.json()["kind"]) == (201, "file")


def test_a_conversation_is_held(api, alice, visit, member, stranger):
    made = api("post", "/conversations/", {"agent": "receptionist"})
    assert (made.status_code, made.json()["chosen_by"]) == (201, "hand")
    path = f"/conversations/{made.json()['id']}/"
    answer = api("post", f"{path}messages/", {"text": "Hello"})
    assert (answer.status_code, answer.json()["state"]) == (201, "waiting")
    assert api("post", f"{path}messages/", {"text": "Hello?"}).status_code == 409
    with entered(alice):
        Message.objects.filter(pk=answer.json()["id"]).update(state="done", text="Good day.")
    said = api("get", f"{path}messages/").json()["results"]
    assert [(one["author"], one["text"]) for one in said] == [("user", "Hello"), ("assistant", "Good day.")]
    for client in (visit(member), visit(stranger, host="bob.test")):  # a conversation is its owner's alone
        assert client.get(f"/api/v1{path}messages/").status_code == 404
    assert api("post", "/conversations/", {"agent": "moderator"}).status_code == 400
    assert api("post", "/conversations/", {}).json()["chosen_by"] == "moderator"
    assert api("delete", path).status_code == 204


def test_an_answer_is_followed_stopped_and_asked_for_again(api, alice, owner, visit, stranger):
    conversation = api("post", "/conversations/", {"agent": "receptionist"}).json()["id"]
    message = api("post", f"/conversations/{conversation}/messages/", {"text": "Hello"}).json()["id"]
    path = f"/conversations/{conversation}/messages/{message}/"
    stream.write(message, "text", text="Good day")
    stream.write(message, "end", state="done")
    for accept in ("text/event-stream", "*/*"):
        answer = visit(owner).get(f"/api/v1{path}stream/", headers={"accept": accept})
        assert answer["Content-Type"] == "text/event-stream"

        async def collect(following=answer):
            return [part.decode() async for part in following.streaming_content]

        assert ["Good day" in part for part in async_to_sync(collect)()] == [True, False]
    assert api("post", f"{path}stop/").json()["state"] == "stopped"
    again = api("post", f"{path}retry/")
    assert (again.status_code, again.json()["state"]) == (201, "waiting")
    other = f"/conversations/{conversation}/messages/{again.json()['id']}/"
    assert api("post", f"{other}retry/").status_code == 409
    stranger_client = visit(stranger, host="bob.test")
    for what, method in (("stream", "get"), ("stop", "post"), ("retry", "post")):
        assert getattr(stranger_client, method)(f"/api/v1{other}{what}/").status_code == 404
    assert api("get", f"/conversations/{conversation}/messages/{'0' * 36}/stream/").status_code == 404


def test_members_talk_and_do_not_hand_in(visit, member):
    client = visit(member)
    assert client.get("/api/v1/agents/").status_code == 200
    assert client.get("/api/v1/documents/").status_code == 403


@pytest.mark.parametrize(("scope", "reads", "writes"), [(Scope.AGENTS_READ, 200, 403), (Scope.AGENTS_WRITE, 403, 201)])
def test_a_token_may_what_its_scopes_say(alice, owner, scope, reads, writes):
    actor = Membership.objects.get(tenant=alice, user=owner)
    _, secret = create_token(tenant=alice, name="Program", scopes=[scope], actor=actor)
    client = Client(headers={"host": "alice.test", "x-forwarded-proto": "https", "authorization": f"Bearer {secret}"})
    assert client.get("/api/v1/documents/").status_code == reads
    body = {"title": "T", "text": "a"}
    assert client.post("/api/v1/documents/", body, content_type="application/json").status_code == writes
