from __future__ import annotations

import pytest

from agents.knowledge.enums import Language
from agents.knowledge.search import search
from agents.knowledge.services.asking import ask_knowledge
from agents.knowledge.services.documents import change_document
from agents.knowledge.terms import MAX_TERMS, terms_of
from agents.knowledge.tests.factories import make_document
from tenants.context import entered

HANDBOOK = """# Opening hours
We are open Monday to Friday from nine to six, and on Saturdays until one.
# Parking
Customers park free of charge in the yard behind the building. The gate closes at seven.
# Returns
Goods can be returned within thirty days with the receipt. Opened software is not taken back.
# Delivery
We deliver within the city on the next day. Delivery is free from fifty euros.
"""


@pytest.fixture
def handbook(in_alice):
    return make_document("Handbook", HANDBOOK)


def found(question, **how):
    return [one.heading for one in search(question, **how).found]


@pytest.mark.parametrize(
    ("question", "heading"),
    [
        ("Where can I park my car?", "Parking"),
        ("May I return software I have opened?", "Returns"),
        ("do you deliver for free", "Delivery"),
        ("Are you open on saturday?", "Opening hours"),
        ("can i retrun goods", "Returns"),
        ("Is there a parkign lot", "Parking"),
    ],
)
def test_the_passage_that_answers_comes_first(handbook, question, heading):
    assert found(question)[0] == heading


@pytest.mark.parametrize("question", ["What is the capital of France?", "who are you", "", "?!", "the and of"])
def test_nothing_is_found_rather_than_guessed(handbook, question):
    assert found(question) == []


def test_why_is_told(handbook):
    result = search("can I park a lorry in the yard")
    best = result.found[0]
    assert set(best.matched) == {"park", "yard"}
    assert 0.34 <= best.coverage < 1
    assert best.similarity is None
    assert best.source == "Handbook, Parking"
    assert [term.word for term in result.terms] == ["park", "lorry", "yard"]
    assert search("parkign please").corrected == {"parkign": ("parking",)}


def test_a_short_question_leans_on_what_was_said_before(handbook):
    assert found("And how late?") == []
    result = search("And how late?", earlier=["I would like to use your parking"])
    assert [one.heading for one in result.found][:1] == ["Parking"]
    assert {term.is_earlier for term in result.terms} == {False, True}
    assert found("How much is delivery below fifty euros?", earlier=["parking parking"])[0] == "Delivery"


def test_another_organisations_documents_are_not_found(handbook, bob):
    with entered(bob):
        assert search("Where can I park?").found == []
        make_document("Secret", "The treasure is parked under the oak.")
        assert [one.title for one in search("treasure under the oak").found] == ["Secret"]
    assert search("treasure under the oak").found == []


def test_a_document_that_is_not_used_is_not_found(handbook):
    change_document(document=handbook, values={"is_active": False})
    assert found("Where can I park?") == []


def test_endings_are_cut_off_in_the_documents_language(in_alice):
    make_document("Haus", "Die Katzen schlafen in den Häusern.", language=Language.GERMAN)
    make_document("House", "Bookings are confirmed by the receptionists.", language=Language.ENGLISH)
    assert [one.title for one in search("Wo schläft die Katze im Haus?").found] == ["Haus"]
    assert [one.title for one in search("Who confirms my booking?").found] == ["House"]


def test_meaning_finds_what_shares_no_word(handbook, models, settings, monkeypatch):
    monkeypatch.setattr(settings.ENV, "embeddings_model", "sandbox-embedding")
    from agents.knowledge.services.indexing import add_missing_vectors

    assert add_missing_vectors() == 1
    handbook.refresh_from_db()
    assert handbook.vector_model == "sandbox-embedding"
    result = ask_knowledge(question="returning software")
    assert result.used_vectors
    assert result.found[0].heading == "Returns"
    assert result.found[0].similarity > 0.2
    monkeypatch.setattr(settings.ENV, "embeddings_model", "another")
    assert not ask_knowledge(question="Where can I park?").used_vectors  # vectors of one model say nothing to another


def test_words_and_terms():
    assert [term.word for term in terms_of("tea", ["the cake", "cake shop"], stop=frozenset({"the"}))] == [
        "tea",
        "cake",
        "shop",
    ]
    assert len(terms_of(" ".join(f"word{n}" for n in range(99)))) == MAX_TERMS
