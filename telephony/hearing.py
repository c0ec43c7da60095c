"""What the caller has said of late, for a provider that does not listen yet, or was lost before it told us what it heard.

A caller is never asked to repeat: when a session breaks in the middle of their turn, or with the words of it unsent, the
next session is given the turn again from a little before its beginning. What is kept is what that session would be given,
and no more: hundreds of calls have one of these each. Frames are counted; no I/O, no clock.
"""

from __future__ import annotations

from collections import deque

KEPT_FRAMES = 500  # of 20 ms: ten seconds, the oldest goes first
BEFORE_TURN_FRAMES = 50  # providers notice late that somebody speaks


class Hearing:
    def __init__(self) -> None:
        self.frames = 0
        self._kept: deque[bytes] = deque()
        self._limit = KEPT_FRAMES  # nobody listens yet
        self._turn_at: int | None = None

    def add(self, audio: bytes) -> None:
        self.frames += 1
        self._kept.append(audio)
        if len(self._kept) > self._limit:
            self._kept.popleft()

    def turn_began(self) -> None:
        """The provider hears somebody speak. A turn that is open already began earlier; long ago, it was a cough."""
        if self._turn_at is None or self._turn_at <= self.frames - KEPT_FRAMES:
            self._keep_only(BEFORE_TURN_FRAMES)
            self._turn_at = self.frames
        self._limit = KEPT_FRAMES

    def words_came(self) -> None:
        """All that was said until now is known."""
        self._turn_at = None
        self._kept.clear()
        self._limit = BEFORE_TURN_FRAMES

    def session_lost(self) -> None:
        """Nobody listens any more: whatever comes now is for whoever does next."""
        self._limit = KEPT_FRAMES

    def unheard(self) -> list[bytes]:
        """Return what a new session has not heard, as far as it is kept."""
        found = list(self._kept)
        if self._turn_at is None:
            self._keep_only(BEFORE_TURN_FRAMES)
        return found

    def _keep_only(self, limit: int) -> None:
        self._limit = limit
        while len(self._kept) > limit:
            self._kept.popleft()
