from __future__ import annotations

from agents.knowledge.models import Document
from agents.knowledge.services.documents import add_text
from agents.knowledge.services.indexing import go_on_with_vectors, read_and_store


def make_document(title: str, text: str, *, language: str = "english") -> Document:
    """A document that has been read."""
    document = add_text(title=title, text=text, language=language, by=None)
    read_and_store(document_id=str(document.pk))
    go_on_with_vectors(document_id=str(document.pk))
    document.refresh_from_db()
    return document
