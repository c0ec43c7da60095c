"""What the pages show."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import QuerySet

from agents.knowledge import vectors
from agents.knowledge.models import Document, Passage
from agents.llm import embedding


@dataclass(frozen=True, slots=True)
class KnowledgeState:
    documents: int
    passages: int
    has_vectors: bool
    why_not: str  # why passages are found by their words alone


def knowledge_state() -> KnowledgeState:
    why_not = ""
    if not vectors.is_possible():
        why_not = "The database has no pgvector."
    elif not embedding.is_possible():
        why_not = "No model for meanings is set up (EMBEDDINGS_MODEL)."
    return KnowledgeState(Document.objects.count(), Passage.objects.count(), not why_not, why_not)


def document_list() -> QuerySet[Document]:
    return Document.objects.defer("text", "questions")
