"""How many media sockets of one address may be open before they have said which call they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from thanos.sockets import EXTENSION

Application = Callable[[Any, Any, Any], Awaitable[None]]


def counted(application: Application, most: int) -> Application:
    """Return the application behind a limit on sockets of one address that wait to be admitted; the next gets a 403.

    A socket is admitted when the application asks to be called back with its messages. Those are not counted any more.
    """
    waiting: Counter[str] = Counter()

    async def limited(scope: dict[str, Any], receive: Any, send: Any) -> None:
        address = str((scope.get("client") or ("",))[0])
        if waiting[address] >= most:
            await receive()  # websocket.connect
            await send({"type": "websocket.close", "code": 1013})
            return
        left = False

        def leave() -> None:
            nonlocal left
            if not left:
                left = True
                waiting[address] -= 1
                if waiting[address] <= 0:
                    del waiting[address]

        waiting[address] += 1
        try:
            await application({**scope, "extensions": _noticing(scope.get("extensions") or {}, leave)}, receive, send)
        finally:
            leave()

    return limited


def _noticing(extensions: dict[str, Any], leave: Callable[[], None]) -> dict[str, Any]:
    direct = extensions.get(EXTENSION)
    if direct is None:
        return extensions

    def admitted(take: Any) -> Any:
        leave()
        return direct(take)

    return {**extensions, EXTENSION: admitted}
