"""People who call: a script of lines, said when it is their turn, and everything heard and said kept as a WAV file.

A caller is asked for a frame every 20 ms and told the frame that is heard at the same time. No I/O, no clock.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sandbox.audio import FRAME_S, SILENT_FRAME, frames, is_silent
from sandbox.recognition import utter

QUIET_FRAMES = 25  # half a second of silence from the other side: our turn


@dataclass(frozen=True, slots=True)
class Line:
    """One thing a caller does.

    when: "turn" waits until the other side has spoken and stopped; "interrupt" speaks up while it speaks; "wait" goes
    on after `after_s` whatever happens.
    """

    text: str = ""
    when: Literal["turn", "interrupt", "wait"] = "turn"
    after_s: float = 1.2
    digits: str = ""
    hang_up: bool = False
    hang_up_mid_word: bool = False


@dataclass
class Caller:
    script: list[Line] = field(default_factory=list)
    voice: str = "en-us+f3"

    def __post_init__(self) -> None:
        self._left = list(self.script)
        self._saying: list[bytes] = []
        self._heard_speech = 0  # frames in a row
        self._heard_quiet = 0
        self._other_spoke = False
        self._waited = 0
        self.digits: list[str] = []  # to be pressed now
        self.wants_to_hang_up = False
        self.said: list[str] = []
        self.heard = bytearray()
        self.spoken = bytearray()

    def frame(self, heard: bytes) -> bytes:
        """Take the frame that is heard now and return the one that is said now."""
        self._listen(heard)
        if not self._saying:
            self._maybe_speak()
        else:
            self._other_spoke = False  # an answer to what we are saying comes after it
        frame = self._saying.pop(0) if self._saying else SILENT_FRAME
        self.heard += heard
        self.spoken += frame
        return frame

    def _listen(self, heard: bytes) -> None:
        if is_silent(heard):
            self._heard_quiet += 1
            if self._heard_quiet > 5:
                self._heard_speech = 0
        else:
            self._heard_speech += 1
            self._heard_quiet = 0
            self._other_spoke = True
        self._waited += 1

    def _maybe_speak(self) -> None:
        if not self._left or not self._is_due(self._left[0]):
            return
        line = self._left.pop(0)
        self._waited = 0
        self._other_spoke = False
        if line.text:
            self.said.append(line.text)
            self._saying = frames(utter(line.text, self.voice))
        if line.hang_up_mid_word:
            self._saying = self._saying[: len(self._saying) // 2]
            self._left = [Line(when="wait", after_s=0.0, hang_up=True)]
        self.digits += line.digits
        self.wants_to_hang_up = line.hang_up

    def _is_due(self, line: Line) -> bool:
        after = line.after_s / FRAME_S
        if line.when == "wait":
            return self._waited >= after
        if line.when == "interrupt":
            return self._heard_speech >= after
        return self._other_spoke and self._heard_quiet >= QUIET_FRAMES

    def save(self, path: Path) -> Path:
        """Write both sides as a stereo mu-law WAV: the caller left, what was heard right."""
        length = min(len(self.spoken), len(self.heard))
        both = bytearray(length * 2)
        both[0::2] = self.spoken[:length]
        both[1::2] = self.heard[:length]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(wav(bytes(both), channels=2))
        return path


def wav(audio: bytes, *, channels: int) -> bytes:
    """Return mu-law audio, interleaved, as a WAV file."""
    mulaw, rate_hz = 7, 8000
    head = struct.pack("<HHIIHHH", mulaw, channels, rate_hz, rate_hz * channels, channels, 8, 0)
    body = b"fmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", len(audio)) + audio
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


DEMO = [
    Line("Hello, when are you open on Saturdays?"),
    Line("And do you offer gift vouchers?"),
    Line("Wait, how much is a haircut?", when="interrupt", after_s=0.8),
    Line("Thank you, that is all. Goodbye."),
]
