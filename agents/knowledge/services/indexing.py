"""A document becomes passages that can be found: read and stored at once, then by meaning, a few passages at a time."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from pathlib import PurePosixPath

from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import F, Func, Value
from django.utils import timezone

from agents.knowledge import vectors
from agents.knowledge.enums import Kind, State
from agents.knowledge.lexemes import VERSION, as_vector, lexemes_of
from agents.knowledge.models import Document, DocumentQuerySet, Passage, Word
from agents.knowledge.reading.blocks import Block, UnreadableError, pack
from agents.knowledge.reading.reader import TIMEOUT_S, Reading, read_document
from agents.knowledge.services.documents import hand_out, read_again
from agents.llm import embedding
from agents.llm.base import LlmError
from agents.llm.metering import Purpose, charged_to
from base.words import index_words, is_unspaced
from billing.enums import Kind as Used
from tenants.celery import publish
from thanos.encryption import decrypt

logger = logging.getLogger("agents")

CLAIM = timedelta(seconds=TIMEOUT_S + 60)
MAX_ATTEMPTS = 3  # of a document whose reading kills the worker, say
LOST = "Reading it failed several times in a row without a reason that could be noted. Try it as plain text."
LONGEST_KNOWN_WORD = 40  # characters, of words that misspelled ones are compared with
OUTDATED_AT_ONCE = 5  # documents a sweep has read again, so that those just handed in do not wait behind all of them
VECTORS_S = 60.0  # a task makes vectors for so long, then lets others have their turn


def read_and_store(*, document_id: str) -> bool:
    """Read a document that waits, and put its passages in place of the old ones; vectors follow in a task of their own.

    Safe to repeat, and to run twice. Return whether it was ours to read.
    """
    from agents.knowledge import tasks

    document = _claim(document_id)
    if document is None:
        return False
    try:
        reading = _read(document)
        if not reading.passages:
            raise UnreadableError("There is no text in it.")
    except UnreadableError as error:
        _finish(document, state=State.FAILED, problem=str(error)[:300])
        return True
    _store(document, reading)
    if embedding.is_possible():
        transaction.on_commit(lambda: publish(tasks.add_vectors, document_id=document_id))
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


def read_outdated() -> int:
    """Have some of the documents read again that an older version of the product read. Until then the old ones answer."""
    outdated = Document.objects.outdated().order_by("created_at")[:OUTDATED_AT_ONCE]
    for document in outdated:
        read_again(document=document)
    return len(outdated)


def go_on_with_vectors(*, document_id: str) -> None:
    """Make vectors of a document's passages for a while, and queue what is left."""
    from agents.knowledge import tasks

    if add_vectors(document_id=document_id, ends_at=time.monotonic() + VECTORS_S):
        publish(tasks.add_vectors, document_id=document_id)


def add_missing_vectors() -> int:
    """Go on with documents whose vectors are missing, or another model's. Return how many now have all of theirs."""
    if not (embedding.is_possible() and vectors.is_possible()):
        return 0
    used = Document.objects.readable().filter(is_active=True)
    lacking = used.exclude(vector_model=embedding.model_in_use(), vector_count__gte=F("passage_count"))
    ends_at = time.monotonic() + VECTORS_S
    before = lacking.count()
    for document_id in list(lacking.values_list("pk", flat=True)[:20]):
        add_vectors(document_id=str(document_id), ends_at=ends_at)
    return before - lacking.count()


def add_vectors(*, document_id: str, ends_at: float) -> bool:
    """Make vectors from where the last run ended, until `ends_at`; safe to repeat, and to run twice.

    Return whether time ran out: what is left is worth another run. A model that does not answer is asked again later.
    """
    model = embedding.model_in_use()
    document = Document.objects.readable().filter(pk=document_id).first()
    if document is None or not model or not vectors.is_possible():
        return False
    if document.vector_model != model:
        document.vector_count = 0  # vectors of one model say nothing to another's
    while document.vector_count < document.passage_count:
        if time.monotonic() >= ends_at:
            return True
        if not _add_batch(document, model):
            return False
    return False


def _add_batch(document: Document, model: str) -> bool:
    """Return whether the next vectors were stored; not, if they were not to be had or the document was changed."""
    start = document.vector_count
    passages = list(document.passages.order_by("position")[start : start + embedding.batch_size()])
    texts = ["\n".join(filter(None, [document.title, part.heading, part.text])) for part in passages]
    try:
        with charged_to(Purpose(Used.KNOWLEDGE, str(document.pk))):
            found = embedding.embed_now(texts, deadline_s=embedding.BATCH_DEADLINE_S)
    except LlmError as error:
        logger.warning("Vectors were not to be had.", extra={"code": error.code.value})
        return False
    with transaction.atomic():
        same = Document.objects.filter(pk=document.pk, read_revision=document.read_revision)
        was = (
            same.filter(vector_model=model, vector_count=start)
            if start
            else same.exclude(vector_model=model, vector_count__gt=0)
        )
        if not was.update(vector_model=model, vector_count=start + len(passages)):
            return False
        vectors.store([(part.pk, vector) for part, vector in zip(passages, found, strict=True)], model=model)
    document.vector_model, document.vector_count = model, start + len(passages)
    return True


def _claim(document_id: str) -> Document | None:
    now = timezone.now()
    free = Document.objects.silent(now).filter(pk=document_id)
    claimed = free.update(state=State.READING, claimed_until=now + CLAIM, attempts=F("attempts") + 1, done=0, total=None)
    return Document.objects.filter(pk=document_id).first() if claimed else None


def _ours(document: Document) -> DocumentQuerySet:
    return Document.objects.filter(pk=document.pk, state=State.READING, revision=document.revision)


def _finish(document: Document, **values: object) -> bool:
    """A document that was changed meanwhile is somebody else's to read."""
    return bool(_ours(document).update(claimed_until=None, **values))


def _read(document: Document) -> Reading:
    """Raises UnreadableError."""
    if document.kind == Kind.QUESTIONS:
        pairs = [Block(pair["answer"], pair["question"], whole=True) for pair in document.questions]
        return Reading(pack(pairs), [])
    if document.kind == Kind.TEXT:
        return read_document(document.text.encode(), suffix="md")
    try:
        with default_storage.open(document.path) as file:
            data = decrypt(file.read())
    except FileNotFoundError:
        raise UnreadableError("Its file is gone. Hand it in again.") from None
    return read_document(data, suffix=PurePosixPath(document.file_name).suffix.removeprefix(".").lower())


def _store(document: Document, reading: Reading) -> None:
    count = len(reading.passages)
    done = {
        "state": State.PARTLY if reading.warnings else State.READY,
        "problem": "",
        "warning": " ".join(reading.warnings)[:600],
        "read_revision": document.revision,
        "index_version": VERSION,
        "done": count,
        "total": count,
        "passage_count": count,
        "read_at": timezone.now(),
        "vector_model": "",
        "vector_count": 0,
        "attempts": 0,
    }
    words = {word for part in reading.passages for word in index_words(f"{document.title} {part.heading} {part.text}")}
    lexemes = lexemes_of(words, languages=[document.language])
    with transaction.atomic():
        if not _finish(document, **done):
            return
        document.passages.all().delete()
        rows = [_row(document, position, part, lexemes) for position, part in enumerate(reading.passages)]
        Passage.objects.bulk_create(rows, batch_size=500)
        known = [word for word in sorted(words) if len(word) <= LONGEST_KNOWN_WORD and not is_unspaced(word)]
        Word.objects.bulk_create([Word(word=word) for word in known], ignore_conflicts=True, batch_size=2000)


def _row(document: Document, position: int, part: Block, lexemes: dict[str, list[list[str]]]) -> Passage:
    found_by = as_vector(f"{document.title} {part.heading}", part.text, lexemes)
    search = Func(Value(found_by), template="%(expressions)s::tsvector")
    return Passage(
        document=document, position=position, heading=part.heading, place=part.place, text=part.text, search=search
    )
