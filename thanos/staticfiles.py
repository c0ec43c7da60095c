"""Static files out of the same process, without a thread per piece: they are small, and browsers keep them for ever."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from whitenoise.middleware import WhiteNoiseMiddleware


class StaticFiles(WhiteNoiseMiddleware):  # type: ignore[misc]
    """WhiteNoise streams a file by a synchronous iterator, which ASGI has to hop into a thread for; this reads it whole."""

    @staticmethod
    def serve(static_file: Any, request: HttpRequest) -> HttpResponse:
        found = static_file.get_response(request.method, request.META)
        body = b""
        if found.file is not None:
            with found.file as source:
                body = source.read()
        response = HttpResponse(body, status=int(found.status))
        response.headers.pop("Content-Type", None)
        for name, value in found.headers:
            response[name] = value
        return response
