"""Files attached to interactions: checked, sealed, and kept in the tenant's own folder."""

from __future__ import annotations

import uuid
from pathlib import PurePosixPath
from typing import Any

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction

from crm.models import Attachment, Interaction
from tenants.context import current_tenant
from tenants.models import User
from thanos.encryption import decrypt, encrypt


class AttachmentError(ValueError):
    """The file is refused; the text says why, for the person who sent it."""


# What a file must begin with to be what its name says; types without an entry are plain text.
_SIGNATURES: dict[str, tuple[bytes, ...]] = {
    "pdf": (b"%PDF-",),
    "png": (b"\x89PNG\r\n\x1a\n",),
    "jpg": (b"\xff\xd8\xff",),
    "jpeg": (b"\xff\xd8\xff",),
    "gif": (b"GIF87a", b"GIF89a"),
    "webp": (b"RIFF",),
    "docx": (b"PK\x03\x04",),
    "xlsx": (b"PK\x03\x04",),
    "pptx": (b"PK\x03\x04",),
    "odt": (b"PK\x03\x04",),
    "ods": (b"PK\x03\x04",),
    "zip": (b"PK\x03\x04",),
    "doc": (b"\xd0\xcf\x11\xe0",),
    "xls": (b"\xd0\xcf\x11\xe0",),
    "mp3": (b"ID3", b"\xff\xfb", b"\xff\xf3"),
    "wav": (b"RIFF",),
    "eml": (),
    "txt": (),
    "csv": (),
    "md": (),
    "ics": (b"BEGIN:VCALENDAR",),
    "vcf": (b"BEGIN:VCARD",),
}


def add_attachment(*, interaction: Interaction, upload: UploadedFile[Any], by: User | None) -> Attachment:
    """Keep a file. Raises AttachmentError for one that is too large, of a type not allowed, or not what it says."""
    name = PurePosixPath((upload.name or "file").replace("\\", "/")).name[-200:]
    data = _checked(name, upload)
    path = f"{current_tenant().schema_name}/crm/{uuid.uuid4().hex}"
    stored = default_storage.save(path, ContentFile(encrypt(data)))
    try:
        return Attachment.objects.create(
            interaction=interaction,
            name=name,
            content_type=(upload.content_type or "application/octet-stream")[:100],
            size=len(data),
            path=stored,
            created_by=by,
        )
    except Exception:
        default_storage.delete(stored)
        raise


def _checked(name: str, upload: UploadedFile[Any]) -> bytes:
    limit = settings.ATTACHMENT_MAX_BYTES
    kind = PurePosixPath(name).suffix.lstrip(".").casefold()
    if kind not in settings.ATTACHMENT_TYPES or kind not in _SIGNATURES:
        raise AttachmentError(
            f"{name}: files of this type are not kept here. Allowed: {', '.join(settings.ATTACHMENT_TYPES)}."
        )
    if upload.size is None or upload.size > limit:
        raise AttachmentError(f"{name} is larger than {limit // 1024 // 1024} MB.")
    data = upload.read(limit + 1)
    signatures = _SIGNATURES[kind]
    if not data:
        raise AttachmentError(f"{name} is empty.")
    if (signatures and not data.startswith(signatures)) or (not signatures and b"\0" in data[:4096]):
        raise AttachmentError(f"{name} is not a {kind.upper()} file.")
    return bytes(data)


def read_attachment(attachment: Attachment) -> bytes:
    with default_storage.open(attachment.path) as sealed:
        return decrypt(sealed.read())


def delete_attachment(*, attachment: Attachment) -> None:
    path = attachment.path
    attachment.delete()
    transaction.on_commit(lambda: default_storage.delete(path))
