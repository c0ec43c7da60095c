"""Documents come, change and go."""

from __future__ import annotations

import uuid
from pathlib import PurePosixPath
from typing import Any

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from agents.knowledge.enums import Kind, State
from agents.knowledge.models import Document
from agents.knowledge.reading.formats import READERS
from base.text import to_stored
from tenants.celery import publish
from tenants.context import current_tenant
from tenants.models import User
from thanos.encryption import encrypt


class DocumentError(ValueError):
    """The document is refused; the text says why, for the person who handed it in."""


def add_file(*, upload: UploadedFile[Any], title: str, language: str, by: User | None) -> Document:
    """Keep a file and have it read. Raises DocumentError for one that is too large, empty, or of a kind not read."""
    name, data = _checked(upload)
    return _add(
        Document(title=title.strip() or PurePosixPath(name).stem, kind=Kind.FILE, language=language, file_name=name),
        data,
        by,
    )


def add_text(*, title: str, text: str, language: str, by: User | None) -> Document:
    if not text.strip():
        raise DocumentError("Write something first.")
    return _add(Document(title=title, kind=Kind.TEXT, language=language, text=to_stored(text)), None, by)


def add_questions(*, title: str, questions: list[dict[str, str]], language: str, by: User | None) -> Document:
    return _add(Document(title=title, kind=Kind.QUESTIONS, language=language, questions=_pairs(questions)), None, by)


def change_document(*, document: Document, values: dict[str, Any], upload: UploadedFile[Any] | None = None) -> None:
    """Change a document. What its passages are made of has it read anew; until then the old ones answer.

    Raises DocumentError.
    """
    data = None
    if "questions" in values:
        values = {**values, "questions": _pairs(values["questions"])}
    if "text" in values:
        values = {**values, "text": to_stored(values["text"])}
    if upload is not None:
        name, data = _checked(upload)
        values = {**values, "file_name": name}
    content = ("title", "language", "text", "questions")  # the title is found by, too
    is_new = data is not None or any(name in values and values[name] != getattr(document, name) for name in content)
    if "title" in values:
        values = {**values, "title": to_stored(values["title"])}
    for name, value in values.items():
        setattr(document, name, value)
    old_path = document.path if data is not None else ""
    if data is not None:
        _store(document, data)
    document.changed_at = timezone.now()
    fields = [*values, "changed_at", *(["path", "size"] if data is not None else [])]
    document.save(update_fields=fields)
    if is_new:
        read_again(document=document)
    if old_path:
        transaction.on_commit(lambda: default_storage.delete(old_path))


def read_again(*, document: Document) -> None:
    """Have a document read anew, from the beginning."""
    Document.objects.filter(pk=document.pk).update(
        revision=F("revision") + 1,
        state=State.WAITING,
        problem="",
        warning="",
        claimed_until=None,
        attempts=0,
        done=0,
        total=None,
    )
    document.refresh_from_db()
    hand_out(document)


def delete_document(*, document: Document) -> None:
    path = document.path
    document.delete()
    if path:
        transaction.on_commit(lambda: default_storage.delete(path))


def hand_out(document: Document) -> None:
    """Queue the reading. A message that is lost, the sweep finds."""
    from agents.knowledge import tasks

    document_id = str(document.pk)
    transaction.on_commit(lambda: publish(tasks.read, document_id=document_id))


def _add(document: Document, data: bytes | None, by: User | None) -> Document:
    document.created_by = by
    document.title = to_stored(document.title)
    if data is not None:
        _store(document, data)
    document.save()
    hand_out(document)
    return document


def _store(document: Document, data: bytes) -> None:
    path = f"{current_tenant().schema_name}/knowledge/{uuid.uuid4().hex}"
    document.path = default_storage.save(path, ContentFile(encrypt(data)))
    document.size = len(data)


def _checked(upload: UploadedFile[Any]) -> tuple[str, bytes]:
    name = PurePosixPath((upload.name or "file").replace("\\", "/")).name
    name = to_stored(name)[-200:]
    suffix = PurePosixPath(name).suffix.removeprefix(".").lower()
    if suffix not in READERS:
        raise DocumentError(f"Files of this kind cannot be read. Use one of {', '.join(sorted(READERS))}.")
    if (upload.size or 0) > settings.KNOWLEDGE_MAX_BYTES:
        raise DocumentError(f"The file is larger than {settings.KNOWLEDGE_MAX_BYTES // 2**20} MB.")
    data = upload.read()
    if not data:
        raise DocumentError("The file is empty.")
    return name, data


def _pairs(questions: list[dict[str, str]]) -> list[dict[str, str]]:
    pairs = [
        {"question": to_stored(pair.get("question", "")).strip(), "answer": to_stored(pair.get("answer", "")).strip()}
        for pair in questions
    ]
    pairs = [pair for pair in pairs if pair["question"] or pair["answer"]]
    if any(not (pair["question"] and pair["answer"]) for pair in pairs):
        raise DocumentError("Every question needs an answer, and every answer a question.")
    if not pairs:
        raise DocumentError("Write at least one question with its answer.")
    return pairs
