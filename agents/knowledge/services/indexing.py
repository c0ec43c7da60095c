"""A document becomes passages that can be found. In a task: read, ask for vectors, store all of it at once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from pathlib import PurePosixPath

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import F, Func, Value
from django.utils import timezone

from agents.knowledge import vectors
from agents.knowledge.enums import Kind, State
from agents.knowledge.models import Document, DocumentQuerySet, Passage, Word
from agents.knowledge.reading.blocks import Block, pack
from agents.knowledge.reading.formats import UnreadableError
from agents.knowledge.reading.reader import TIMEOUT_S, read_document
from agents.knowledge.services.documents import hand_out
from agents.knowledge.terms import words_of
from agents.llm import embedding
from agents.llm.base import LlmError
from agents.llm.metering import Purpose, charged_to
from billing.enums import Kind as Used
from crm.folding import fold
from thanos.encryption import decrypt

logger = logging.getLogger("agents")

CLAIM = timedelta(seconds=TIMEOUT_S + 60)
MAX_ATTEMPTS = 3  # of a document whose reading kills the worker, say
LOST = "Reading it failed several times in a row without a reason that could be noted. Try it as plain text."
WITHOUT_VECTORS = "Found by its words alone: the model for meanings could not be asked. It is tried again."


def read_and_store(*, document_id: str) -> bool:
    """Read a document that waits, and put its passages in place of the old ones. Safe to repeat, and to run twice.

    Return whether it was ours to read.
    """
    document = _claim(document_id)
    if document is None:
        return False
    try:
        passages = _passages(document)
        if not passages:
            raise UnreadableError("There is no text in it.")
    except UnreadableError as error:
        _finish(document, state=State.FAILED, problem=str(error)[:300])
        return True
    _advance(document, total=len(passages))
    found, warning = _vectors(document, passages)
    _store(document, passages, found, warning)
    return True


def resume_silent() -> int:
    """Queue what waits for a worker that is gone, or whose message was lost; give up what cannot be read."""
    now = timezone.now()
    lost = Document.objects.silent(now).filter(attempts__gte=MAX_ATTEMPTS)
    lost.update(state=State.FAILED, problem=LOST, claimed_until=None)
    waiting = Document.objects.silent(now).filter(changed_at__lt=now - timedelta(seconds=30))[:50]
    for document in waiting:
        hand_out(document)
    return len(waiting)


def add_missing_vectors() -> int:
    """Ask again for the vectors of documents that have none, or those of another model. Return how many got them."""
    if not (embedding.is_possible() and vectors.is_possible()):
        return 0
    model = settings.ENV.embeddings_model
    lacking = Document.objects.filter(state=State.READY, is_active=True).exclude(vector_model=model)
    count = 0
    for document in lacking[:20]:
        passages = list(document.passages.all())
        found, warning = _ask(None, [_embedded_text(document, part.heading, part.text) for part in passages])
        if warning:
            break
        with transaction.atomic():
            same = Document.objects.filter(pk=document.pk, read_revision=document.read_revision)
            if same.update(vector_model=model, warning=""):
                vectors.store([(part.pk, vector) for part, vector in zip(passages, found, strict=True)], model=model)
                count += 1
    return count


def _claim(document_id: str) -> Document | None:
    now = timezone.now()
    free = Document.objects.silent(now).filter(pk=document_id)
    claimed = free.update(state=State.READING, claimed_until=now + CLAIM, attempts=F("attempts") + 1, done=0, total=None)
    return Document.objects.filter(pk=document_id).first() if claimed else None


def _ours(document: Document) -> DocumentQuerySet:
    return Document.objects.filter(pk=document.pk, state=State.READING, revision=document.revision)


def _advance(document: Document, **values: object) -> None:
    _ours(document).update(claimed_until=timezone.now() + CLAIM, **values)


def _finish(document: Document, **values: object) -> bool:
    """A document that was changed meanwhile is somebody else's to read."""
    return bool(_ours(document).update(claimed_until=None, **values))


def _passages(document: Document) -> list[Block]:
    """Raises UnreadableError."""
    if document.kind == Kind.QUESTIONS:
        return pack(Block(pair["answer"], pair["question"], whole=True) for pair in document.questions)
    if document.kind == Kind.TEXT:
        return read_document(document.text.encode(), suffix="md")
    try:
        with default_storage.open(document.path) as file:
            data = decrypt(file.read())
    except FileNotFoundError:
        raise UnreadableError("Its file is gone. Hand it in again.") from None
    return read_document(data, suffix=PurePosixPath(document.file_name).suffix.removeprefix(".").lower())


def _embedded_text(document: Document, heading: str, text: str) -> str:
    return "\n".join(filter(None, [document.title, heading, text]))


def _vectors(document: Document, passages: Sequence[Block]) -> tuple[list[list[float]], str]:
    if not (embedding.is_possible() and vectors.is_possible()):
        return [], ""
    return _ask(document, [_embedded_text(document, part.heading, part.text) for part in passages])


def _ask(document: Document | None, texts: Sequence[str]) -> tuple[list[list[float]], str]:
    """Return all vectors and no warning, or none and a warning."""
    with charged_to(Purpose(Used.KNOWLEDGE, "" if document is None else str(document.pk))):
        return _ask_in_batches(document, texts)


def _ask_in_batches(document: Document | None, texts: Sequence[str]) -> tuple[list[list[float]], str]:
    found: list[list[float]] = []
    for start in range(0, len(texts), embedding.BATCH):
        try:
            found += embedding.embed_now(texts[start : start + embedding.BATCH])
        except LlmError as error:
            logger.warning("Vectors were not to be had.", extra={"code": error.code.value})
            return [], WITHOUT_VECTORS
        if document is not None:
            _advance(document, done=len(found))
    return found, ""


def _store(document: Document, passages: Sequence[Block], found: Sequence[Sequence[float]], warning: str) -> None:
    model = settings.ENV.embeddings_model if found else ""
    with transaction.atomic():
        done = {"state": State.READY, "problem": "", "warning": warning, "read_revision": document.revision}
        done |= {
            "done": len(passages),
            "passage_count": len(passages),
            "read_at": timezone.now(),
            "vector_model": model,
            "attempts": 0,
        }
        if not _finish(document, **done):
            return
        document.passages.all().delete()
        rows = [_row(document, position, part) for position, part in enumerate(passages)]
        made = Passage.objects.bulk_create(rows, batch_size=500)
        words = {word for part in passages for word in words_of(f"{document.title} {part.heading} {part.text}")}
        Word.objects.bulk_create([Word(word=word) for word in sorted(words)], ignore_conflicts=True, batch_size=2000)
        if found:
            vectors.store([(row.pk, vector) for row, vector in zip(made, found, strict=True)], model=model)


def _row(document: Document, position: int, part: Block) -> Passage:
    head = _lexemes(document.language, f"{document.title} {part.heading}", "A")
    body = _lexemes(document.language, part.text, "B")
    search = Func(head, body, template="(%(expressions)s)", arg_joiner=" || ")
    return Passage(
        document=document, position=position, heading=part.heading, place=part.place, text=part.text, search=search
    )


def _lexemes(language: str, text: str, weight: str) -> Func:
    config = Func(Value(language), template="%(expressions)s::regconfig")
    return Func(
        Func(config, Value(fold(text)), function="to_tsvector"),
        Value(weight),
        function="setweight",
        template='%(function)s(%(expressions)s::"char")',
    )
