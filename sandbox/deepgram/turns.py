"""When does the caller begin and end a turn? Told from the frames alone. No I/O, no clock: 20 ms a frame."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from sandbox.audio import FRAME_BYTES, is_silent, loud_share

START_FRAMES = 3
END_FRAMES = 30  # 600 ms
LOUD_SHARE = 0.1
LONGEST_TURN_FRAMES = 1500


class Change(Enum):
    STARTED = auto()
    ENDED = auto()


@dataclass(frozen=True, slots=True)
class Turn:
    change: Change
    audio: bytes = b""


class TurnDetector:
    def __init__(self) -> None:
        self._pending = b""
        self._utterance = bytearray()
        self._loud = 0
        self._quiet = 0
        self._speaking = False

    def feed(self, audio: bytes) -> list[Turn]:
        """Take audio in pieces of any size; return what changed."""
        self._pending += audio
        turns = []
        while len(self._pending) >= FRAME_BYTES:
            frame, self._pending = self._pending[:FRAME_BYTES], self._pending[FRAME_BYTES:]
            if (turn := self._frame(frame)) is not None:
                turns.append(turn)
        return turns

    def _frame(self, frame: bytes) -> Turn | None:
        silent = is_silent(frame)
        if silent and not self._utterance:
            return None
        self._utterance += frame
        loud = not silent and loud_share(frame) > LOUD_SHARE
        self._quiet = 0 if loud else self._quiet + 1
        self._loud += loud
        if not self._speaking and self._loud >= START_FRAMES:
            self._speaking = True
            return Turn(Change.STARTED)
        if self._quiet >= END_FRAMES or len(self._utterance) > LONGEST_TURN_FRAMES * FRAME_BYTES:
            return self._end()
        return None

    def _end(self) -> Turn | None:
        spoken, audio = self._speaking, bytes(self._utterance)
        self._utterance.clear()
        self._loud = self._quiet = 0
        self._speaking = False
        return Turn(Change.ENDED, audio) if spoken else None
