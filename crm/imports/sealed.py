"""Uploaded files on disk: encrypted in blocks, so that neither writing nor reading holds a whole file."""

from __future__ import annotations

import io
import struct
import uuid
from collections.abc import Iterator
from typing import IO, Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from crm.imports.errors import FileError
from tenants.context import current_tenant
from thanos.encryption import DecryptionError, decrypt, encrypt

BLOCK = 256 * 1024
_LENGTH = struct.Struct(">I")


class SealedWriter:
    """Writes a new file in the entered tenant's folder. Use as a context manager; an error deletes what was written."""

    def __init__(self) -> None:
        folder = f"{current_tenant().schema_name}/crm/imports"
        self.path = default_storage.save(f"{folder}/{uuid.uuid4().hex}", ContentFile(b""))
        self._file: IO[bytes] = default_storage.open(self.path, "wb")  # type: ignore[assignment]
        self._rest = bytearray()

    def __enter__(self) -> SealedWriter:
        return self

    def write(self, data: bytes) -> None:
        self._rest += data
        while len(self._rest) >= BLOCK:
            self._seal(bytes(self._rest[:BLOCK]))
            del self._rest[:BLOCK]

    def _seal(self, block: bytes) -> None:
        token = encrypt(block)
        self._file.write(_LENGTH.pack(len(token)) + token)

    def __exit__(self, kind: Any, *_: object) -> None:
        if kind is None and self._rest:
            self._seal(bytes(self._rest))
        self._file.close()
        if kind is not None:
            delete_sealed(self.path)


def delete_sealed(path: str) -> None:
    if path:
        default_storage.delete(path)


def sealed_blocks(path: str) -> Iterator[bytes]:
    """Raises FileError when the file is gone, cut off, or was sealed with a key that is no longer configured."""
    try:
        with default_storage.open(path) as file:
            while head := file.read(_LENGTH.size):
                (length,) = _LENGTH.unpack(head)
                yield decrypt(file.read(length))
    except (OSError, struct.error):
        raise FileError("The uploaded file is no longer there. Upload it again.") from None
    except DecryptionError:
        raise FileError("The uploaded file cannot be opened with the keys of this installation.") from None


class SealedReader(io.RawIOBase):
    """A sealed file's plain bytes, read from the beginning. `position` is how many were handed out."""

    def __init__(self, path: str) -> None:
        self._blocks = sealed_blocks(path)
        self._block = memoryview(b"")
        self.position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._block:
            self._block = memoryview(next(self._blocks, b""))
        size = min(len(buffer), len(self._block))
        buffer[:size] = self._block[:size]
        self._block = self._block[size:]
        self.position += size
        return size

    def close(self) -> None:
        self._blocks.close()  # type: ignore[attr-defined]
        super().close()
