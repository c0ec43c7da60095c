"""What the caller has said of late, for a provider that does not listen yet, or was lost before it told us what it heard.

A caller is never asked to repeat: when a session breaks in the middle of their turn, or with the words of it unsent, the
next session is given the turn again from a little before its beginning. Frames are counted; no I/O, no clock.
"""

from __future__ import annotations

from collections import deque
from itertools import islice

KEPT_FRAMES = 500  # of 20 ms: ten seconds, the oldest goes first
BEFORE_TURN_FRAMES = 50  # providers notice late that somebody speaks


class Hearing:
    def __init__(self) -> None:
        self.frames = 0
        self._kept: deque[bytes] = deque(maxlen=KEPT_FRAMES)
        self._unheard_from = 0  # the first frame the next session is to be given
        self._words_at = 0
        self._turn_at: int | None = None

    def add(self, audio: bytes) -> None:
        self.frames += 1
        self._kept.append(audio)

    def turn_began(self) -> None:
        """The provider hears somebody speak. A turn that is open already began earlier; long ago, it was a cough."""
        if self._turn_at is None or self._turn_at <= self.frames - KEPT_FRAMES:
            self._turn_at = self.frames

    def words_came(self) -> None:
        """All that was said until now is known."""
        self._words_at, self._turn_at = self.frames, None

    def session_lost(self) -> None:
        """Nobody listens any more. Whoever does next needs what has no words yet."""
        began = self.frames if self._turn_at is None else self._turn_at
        self._unheard_from = max(self._words_at, began - BEFORE_TURN_FRAMES)

    def unheard(self) -> list[bytes]:
        """Return what a new session has not heard, as far as it is kept."""
        missing = min(self.frames - self._unheard_from, len(self._kept))
        return list(islice(self._kept, len(self._kept) - missing, None))
