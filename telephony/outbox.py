"""Sending on a media stream without a task or a queue per frame.

An ASGI server's `send` is a coroutine that, as long as the socket takes what we write, finishes without ever
suspending. So it is driven to its end on the spot. When it does suspend (the peer reads too slowly), a task takes it
over, and what follows waits in a bounded queue; a full queue drops the oldest audio, never a control message.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from typing import Any

Send = Callable[[dict[str, Any]], Awaitable[None]]

MAX_WAITING = 500  # frames: ten seconds


class _Resumed:
    """Awaits the rest of a coroutine that has already run up to `pending`."""

    def __init__(self, coroutine: Generator[Any, None, None], pending: Any) -> None:
        self._coroutine = coroutine
        self._pending = pending

    def __await__(self) -> Generator[Any, None, None]:
        pending = self._pending
        while True:
            yield pending
            try:
                pending = self._coroutine.send(None)
            except StopIteration:
                return


class Outbox:
    def __init__(self, send: Send) -> None:
        self._send = send
        self._waiting: deque[tuple[str, bool]] = deque()
        self._drain: asyncio.Task[None] | None = None
        self._is_closed = False
        self.dropped = 0
        # A server that offers it takes text without a coroutine: False sends it the usual way.
        self.write_directly: Callable[[str], bool] | None = None

    def send(self, text: str, *, is_audio: bool = False) -> None:
        if self._is_closed:
            return
        if self._drain is not None:
            self._wait(text, is_audio)
            return
        if self.write_directly is not None and self.write_directly(text):
            return
        coroutine: Any = self._send({"type": "websocket.send", "text": text})
        try:
            pending = coroutine.send(None)
        except StopIteration:
            return
        except Exception:  # the socket is gone; the receive loop hears of it and ends the call
            self._is_closed = True
            return
        self._drain = asyncio.create_task(self._finish(_Resumed(coroutine, pending)))

    def drop_audio(self) -> None:
        """Forget audio that waits: the carrier is about to be told to clear its buffer."""
        self._waiting = deque(item for item in self._waiting if not item[1])

    def _wait(self, text: str, is_audio: bool) -> None:
        if is_audio and len(self._waiting) >= MAX_WAITING:
            for position, (_, waiting_audio) in enumerate(self._waiting):
                if waiting_audio:
                    del self._waiting[position]
                    self.dropped += 1
                    break
        self._waiting.append((text, is_audio))

    async def _finish(self, first: _Resumed) -> None:
        try:
            await first
            while self._waiting:
                text, _ = self._waiting.popleft()
                await self._send({"type": "websocket.send", "text": text})
        except Exception:
            self._is_closed = True
        finally:
            self._drain = None

    async def close(self, code: int = 1000) -> None:
        if self._drain is not None:
            self._drain.cancel()
        if not self._is_closed:
            self._is_closed = True
            try:
                await self._send({"type": "websocket.close", "code": code})
            except Exception:
                return  # gone already
