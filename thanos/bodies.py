"""How large a request may be: by its address, and for uploads only once its sender is known.

Django would first write the whole body into a temporary file, in the clear, and only then ask whether it is wanted, and by
whom.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]
IsKnown = Callable[[dict[str, Any]], Awaitable[bool]]

KB = 1024
MB = 1024 * KB
DEFAULT = MB


@dataclass(frozen=True, slots=True)
class Limit:
    path: re.Pattern[str]
    most: int  # bytes
    for_known_only: bool = True  # anybody else has `DEFAULT`


def limit_of(limits: list[Limit], path: str) -> Limit:
    """Return the first limit whose pattern fits the path, the default one where none does."""
    return next((limit for limit in limits if limit.path.match(path)), Limit(re.compile(""), DEFAULT, False))


def bounded(application: Application, limits: list[Limit], is_known: IsKnown) -> Application:
    """Return the application behind limits for the bodies of requests. `is_known` is asked of a scope, for uploads."""

    async def limited(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        found = limit_of(limits, scope["path"])
        announced = _announced(scope)
        most = found.most
        # A length that is not told may be any: who sends such to an address for uploads has to be known as well.
        if found.for_known_only and (announced is None or announced > DEFAULT) and not await is_known(scope):
            most = DEFAULT
        if announced is not None and announced > most:
            await _refuse(send, most, known=most == found.most)
            return
        seen = 0

        async def receive_some() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            # A body without a length that goes on and on: to the application its sender has gone away.
            return {"type": "http.disconnect"} if seen > most else message

        await application(scope, receive_some, send)

    return limited


def _announced(scope: dict[str, Any]) -> int | None:
    """Return the length of the body, None when it is sent in pieces of which nobody knows how many there are."""
    for name, value in scope["headers"]:
        if name.lower() == b"transfer-encoding":
            return None
        if name.lower() == b"content-length" and value.isdigit():
            return int(value)
    return 0


async def _refuse(send: Send, most: int, *, known: bool) -> None:
    size = f"{most // MB} MB" if most >= MB else f"{most // KB} kB"
    text = f"This is larger than {size}, which is the most that is taken here"
    text += ". Nothing was changed." if known else " from somebody who is not signed in. Nothing was changed."
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
