"""The carrier's playback buffer of one stream, with a true playhead. No I/O: one `tick` is 20 ms.

Audio plays in the order it came; a mark comes back when the playhead reaches it, and `clear` drops everything and
returns all marks at once.
"""

from __future__ import annotations

from collections import deque

from sandbox.audio import FRAME_BYTES, SILENCE


class Playback:
    def __init__(self) -> None:
        self._buffer: deque[bytes | str] = deque()  # audio, or the name of a mark
        self.played_bytes = 0
        self.cleared_bytes = 0

    def add_audio(self, audio: bytes) -> None:
        self._buffer.append(audio)

    def add_mark(self, name: str) -> list[str]:
        """Return the marks that come back at once: this one, when nothing is buffered."""
        if not self._buffer:
            return [name]
        self._buffer.append(name)
        return []

    def clear(self) -> list[str]:
        marks = [item for item in self._buffer if isinstance(item, str)]
        self.cleared_bytes += sum(len(item) for item in self._buffer if isinstance(item, bytes))
        self._buffer.clear()
        return marks

    @property
    def is_playing(self) -> bool:
        return bool(self._buffer)

    def tick(self) -> tuple[bytes, list[str]]:
        """Return the frame that is heard now, and the marks that were reached."""
        frame, marks = b"", []
        while self._buffer and len(frame) < FRAME_BYTES:
            item = self._buffer[0]
            if isinstance(item, str):
                marks.append(item)
                self._buffer.popleft()
                continue
            need = FRAME_BYTES - len(frame)
            frame += item[:need]
            if len(item) > need:
                self._buffer[0] = item[need:]
            else:
                self._buffer.popleft()
        while self._buffer and isinstance(self._buffer[0], str):
            marks.append(self._buffer.popleft())  # type: ignore[arg-type]
        self.played_bytes += len(frame)
        return frame.ljust(FRAME_BYTES, SILENCE), marks
