"""Media sockets at the cost of their system calls: no queue, no task and no generator per frame.

uvicorn takes every WebSocket frame through the websockets library's parser (a generator for all kinds of frames) and an
`asyncio.Queue` (an entry, a wake-up, a pause of the transport), together half of what a frame of audio costs. This
protocol takes whole, masked, unfragmented text frames itself (RFC 6455, section 5.2) and offers the application, in
`scope["extensions"]`, to be called back with each, and to write text straight to the transport. Handshake, pings,
closing, limits and every other kind of frame stay uvicorn's and the library's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import apply_mask  # type: ignore[attr-defined]

EXTENSION = "thanos.direct"
TakeText = Callable[[bytes], None]
WriteText = Callable[[str], bool]

TEXT = 0x81  # final frame of a text message, no extension bits
CONTROL = frozenset({0x88, 0x89, 0x8A})  # close, ping, pong
MASKED = 0x80
SMALLEST = 6  # bytes of a client's frame: two of head, four of mask
SHORT = 125  # up to here the length fits into the second byte
TWO_BYTES = 126  # what the second byte says when two more hold the length; 127 would mean eight


class MediaProtocol(WebSocketsSansIOProtocol):
    _take: TakeText | None = None
    _rest = b""
    # Once the library's parser may hold a part of a frame, everything after it is the library's too.
    _by_library = False

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):
            extensions: dict[str, Any] = self.scope["extensions"]  # type: ignore[assignment]
            extensions[EXTENSION] = self.direct

    def direct(self, take: TakeText) -> WriteText:
        """Call `take` with every text message from now on, those that wait first; return a way to write text.

        `disconnect` still comes through `receive`. The writer returns False when the text must take the usual way,
        because the peer reads too slowly or the socket is closing.
        """
        kept = []
        while not self.queue.empty():
            message: Any = self.queue.get_nowait()
            if message["type"] == "websocket.receive" and message.get("text") is not None:
                take(message["text"].encode())
            else:
                kept.append(message)
        for message in kept:
            self.queue.put_nowait(message)
        self._take = take
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        return self._write_text

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data, self._rest = self._rest + data, b""
        if self.handshake_complete and not (self._by_library or self.close_sent):
            data = self._take_frames(data)
            if not data:
                return
        # A peer that does not wait for the answer to its handshake may have begun a frame with it.
        self._by_library = self.handshake_initiated
        super().data_received(data)

    def _take_frames(self, data: bytes) -> bytes:
        """Take what can be taken; keep an unfinished frame; return the rest from the first frame for the library on."""
        at, size = 0, len(data)
        while size - at >= SMALLEST:
            first, second = data[at], data[at + 1]
            length, begin = second & ~MASKED, at + SMALLEST
            if length == TWO_BYTES:
                if size - at < SMALLEST + 2:
                    break
                length, begin = data[at + 2] << 8 | data[at + 3], at + SMALLEST + 2
            if second < MASKED or second == MASKED | 127 or not (first == TEXT or (first in CONTROL and length <= SHORT)):
                return data[at:]
            end = begin + length
            if size < end:
                break
            if first == TEXT:
                self._take_text(apply_mask(data[begin:end], data[begin - 4 : begin]))
            else:
                super().data_received(data[at:end])
            at = end
        self._rest = data[at:]
        return b""

    def _take_text(self, text: bytes) -> None:
        if self.close_sent:
            return
        if self._take is not None:
            self._take(text)
            return
        self.curr_msg_data_type = "text"
        self.frames = [text]
        self.send_receive_event_to_app()

    def handle_text(self, event: Any) -> None:
        if self._take is not None and event.fin and not self.close_sent:
            self._take(event.data)
        else:
            super().handle_text(event)

    def _write_text(self, text: str) -> bool:
        if self.close_sent or self.disconnected or not self.writable.is_set():
            return False
        data = text.encode()
        length = len(data)
        if length <= SHORT:
            head = bytes((TEXT, length))
        elif length < 65_536:
            head = bytes((TEXT, TWO_BYTES)) + length.to_bytes(2, "big")
        else:
            head = bytes((TEXT, 127)) + length.to_bytes(8, "big")
        self.transport.write(head + data)  # a server's frames are not masked (RFC 6455, 5.1)
        return True
