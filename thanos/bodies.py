"""Requests larger than anything this product takes are refused before a byte of them is kept.

Django would first write the whole body into a temporary file, in the clear, and only then ask whether it is wanted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]


def bounded(application: Application, limit: int) -> Application:
    """Return the application behind a limit, in bytes, for the bodies of requests."""

    async def limited(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if _announced(scope) > limit:
            await _refuse(send, limit)
            return
        seen = 0

        async def receive_some() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            # A body without a length that goes on and on: to the application its sender has gone away.
            return {"type": "http.disconnect"} if seen > limit else message

        await application(scope, receive_some, send)

    return limited


def _announced(scope: dict[str, Any]) -> int:
    for name, value in scope["headers"]:
        if name.lower() == b"content-length" and value.isdigit():
            return int(value)
    return 0


async def _refuse(send: Send, limit: int) -> None:
    text = f"This is larger than {limit // 1024 // 1024} MB, which is the most that is taken. Nothing was changed."
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
