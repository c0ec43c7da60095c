"""Long downloads, piece by piece, inside the tenant, on either kind of server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from django.core.handlers.asgi import ASGIRequest
from django.http import StreamingHttpResponse

from tenants.access import MemberRequest
from tenants.context import entered, in_tenant
from tenants.models import Tenant


def stream(request: MemberRequest, pieces: Iterator[bytes], *, name: str, content_type: str) -> StreamingHttpResponse:
    """Return a download. `pieces` must not keep a database cursor open: each may be made by another thread."""
    is_async = isinstance(request, ASGIRequest)  # which would gather a synchronous iterator in memory
    body = _from_coroutine(request.tenant, pieces) if is_async else _from_thread(request.tenant, pieces)
    response = StreamingHttpResponse(body, content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "no-store"
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _from_thread(tenant: Tenant, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The response is read after the middleware has left the tenant."""
    while True:
        with entered(tenant):
            piece = next(pieces, None)
        if piece is None:
            return
        yield piece


async def _from_coroutine(tenant: Tenant, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    while (piece := await in_tenant(tenant, next, pieces, None)) is not None:
        yield piece
