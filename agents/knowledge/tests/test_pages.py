from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from agents.knowledge.models import Document
from agents.knowledge.services.indexing import read_and_store
from agents.knowledge.tests.factories import make_document
from tenants.context import entered


@pytest.fixture
def client(visit, owner):
    return visit(owner)


@pytest.fixture
def document(alice):
    with entered(alice):
        return make_document("Handbook", "# Parking\nCustomers park in the yard.")


@pytest.fixture
def bobs(bob):
    with entered(bob):
        return make_document("Bob's plans", "The treasure is under the oak.")


def test_an_empty_room_says_what_to_do(client):
    page = client.get("/agents/knowledge/").content.decode()
    assert "Tell your agents what you know" in page
    assert "/agents/knowledge/new/file/" in page


@pytest.mark.parametrize(
    ("kind", "form", "text"),
    [
        ("file", {"file": ("prices.csv", b"Article,Price\nTea,4\n")}, "Article: Tea"),
        ("text", {"title": "Hours", "text": "# Open\nFrom nine."}, "From nine."),
        ("questions", {"title": "FAQ", "question": ["Cards?", ""], "answer": ["Yes.", ""]}, "Yes."),
    ],
)
def test_a_document_is_added_and_read(client, alice, kind, form, text):
    data = {"language": "english", **form}
    if "file" in data:
        data["file"] = SimpleUploadedFile(*data["file"])
    answer = client.post(f"/agents/knowledge/new/{kind}/", data)
    assert answer.status_code == 302
    assert "hx-trigger" in client.get(answer.url).content.decode()
    with entered(alice):
        document = Document.objects.get()
        read_and_store(document_id=str(document.pk))
    page = client.get(answer.url).content.decode()
    assert text in page
    assert "Ready" in page
    assert "hx-trigger" not in client.get(answer.url, headers={"hx-request": "true"}).content.decode()


@pytest.mark.parametrize(
    ("kind", "form", "why"),
    [
        ("file", {"file": ("virus.exe", b"x")}, "cannot be read"),
        ("file", {}, "required"),
        ("questions", {"title": "FAQ", "question": ["Cards?"], "answer": [""]}, "needs an answer"),
        ("text", {"title": "", "text": "x"}, "required"),
    ],
)
def test_what_is_refused_says_why_and_loses_nothing(client, kind, form, why):
    data = {"language": "english", **form}
    if "file" in data:
        data["file"] = SimpleUploadedFile(*data["file"])
    page = client.post(f"/agents/knowledge/new/{kind}/", data)
    assert page.status_code == 422
    assert why in page.content.decode()
    if kind == "questions":
        assert "Cards?" in page.content.decode()


def test_a_document_is_changed_switched_off_read_again_and_deleted(client, alice, document):
    url = document.get_absolute_url()
    client.post(f"{url}edit/", {"title": "House rules", "language": "german", "text": "Neu."})
    with entered(alice):
        changed = Document.objects.get()
        assert (changed.title, changed.state, changed.revision) == ("House rules", "waiting", 2)
    client.post(f"{url}switch/", {"on": "0"})
    assert "Not used" in client.get("/agents/knowledge/").content.decode()
    client.post(f"{url}read/")
    client.post(f"{url}delete/")
    assert "Tell your agents" in client.get("/agents/knowledge/").content.decode()


def test_a_question_is_tried_and_why_is_told(client, document):
    page = client.get("/agents/knowledge/try/", {"q": "Where do customers park?"}).content.decode()
    assert "Customers park in the yard." in page
    assert "What the agent would see" in page
    assert "Meaning was not used" in page
    nothing = client.get("/agents/knowledge/try/", {"q": "What is the meaning of life?"}).content.decode()
    assert "Nothing answers that" in nothing
    assert "I could not find anything about that" in nothing
    assert client.get("/agents/knowledge/try/").status_code == 200


@pytest.mark.parametrize("path", ["", "edit/", "read/", "switch/", "delete/"])
def test_another_organisations_document_is_not_there(client, bobs, path):
    url = f"/agents/knowledge/{bobs.pk}/{path}"
    assert client.get(url).status_code in (404, 405)
    assert client.post(url).status_code in (404, 405)
    assert (
        "treasure"
        not in client.get("/agents/knowledge/try/", {"q": "treasure oak"})
        .content.decode()
        .split("<main")[1]
        .split("Look it up")[1]
    )
