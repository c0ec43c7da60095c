"""Requests have to arrive: uvicorn waits for the rest of one for as long as its sender likes, and this does not.

Headers must be whole within `HEADERS_S` of the connection's begin, or of their own first byte. A body must be faster than
`BYTES_PER_S`, after `BODY_S` that everybody has. Time in which we ourselves do not read is not held against anybody.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADERS_S = 10.0
BODY_S = 20.0
BYTES_PER_S = 20_000


class PunctualProtocol(HttpToolsProtocol):
    headers_s = HEADERS_S
    body_s = BODY_S
    bytes_per_s = BYTES_PER_S

    _timer: asyncio.TimerHandle | None = None
    _in_body = False
    _arrived = 0  # bytes of the body
    _body_begun = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._timer is None and not self._in_body and self._is_between():
            self._expect_headers()
        super().data_received(data)

    def handle_websocket_upgrade(self) -> None:
        self._stop()
        super().handle_websocket_upgrade()

    def on_headers_complete(self) -> None:
        self._stop()
        super().on_headers_complete()
        if self.cycle is not None:  # none for a handshake of a socket
            self._in_body, self._arrived, self._body_begun = True, 0, self.loop.time()
            self._timer = self.loop.call_later(self.body_s, self._check_body)

    def on_body(self, body: bytes) -> None:
        self._arrived += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._stop()
        super().on_message_complete()

    def _is_between(self) -> bool:
        """Has what came before been answered, so that this is the begin of another request?"""
        return self.cycle is None or self.cycle.response_complete

    def _expect_headers(self) -> None:
        self._timer = self.loop.call_later(self.headers_s, self._give_up)

    def _stop(self) -> None:
        self._in_body = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check_body(self) -> None:
        self._timer = None
        if self.flow.read_paused:
            self._body_begun += 1.0
        left_s = self._body_begun + self.body_s + self._arrived / self.bytes_per_s - self.loop.time()
        if left_s > 0:
            self._timer = self.loop.call_later(min(left_s, 1.0) if self.flow.read_paused else left_s, self._check_body)
        elif self.flow.read_paused:
            self._timer = self.loop.call_later(1.0, self._check_body)
        else:
            self._give_up()

    def _give_up(self) -> None:
        self._stop()
        if self.transport is None or self.transport.is_closing():
            return
        cycle: Any = self.cycle
        if cycle is None or not cycle.response_started:
            self.transport.write(b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        self.transport.close()
