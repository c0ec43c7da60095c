"""Receiving files: never in memory, and no more of them than is allowed."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.files.uploadhandler import StopUpload, TemporaryFileUploadHandler
from django.http import HttpRequest

# What a form may hold beside the file.
_SLACK = 64 * 1024


class BoundedUploadHandler(TemporaryFileUploadHandler):
    """Writes an upload to a temporary file, and stops reading when it is larger than an import may be."""

    is_too_large = False

    def __init__(self, request: HttpRequest | None = None) -> None:
        super().__init__(request)
        self._opened: list[Any] = []

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self._opened.append(self.file)

    def close(self) -> None:
        """Close every file there was: a body that breaks off behind the first would leave that one open."""
        for file in self._opened:
            file.close()

    def receive_data_chunk(self, raw_data: bytes, start: int) -> Any:
        if start + len(raw_data) > settings.IMPORT_MAX_BYTES:
            self.is_too_large = True
            raise StopUpload(connection_reset=True)
        return super().receive_data_chunk(raw_data, start)


def says_too_large(request: HttpRequest) -> bool:
    """Tell, from what the request says of itself, that it cannot be accepted: before any of it is parsed."""
    length = request.META.get("CONTENT_LENGTH") or ""
    return length.isdigit() and int(length) > settings.IMPORT_MAX_BYTES + _SLACK


def bound_upload(request: HttpRequest) -> BoundedUploadHandler:
    """Have this request's file written by a bounded handler. Must come before anything reads `request.POST`."""
    handler = BoundedUploadHandler(request)
    request.upload_handlers = [handler]
    return handler
