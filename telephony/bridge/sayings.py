"""Sentences of the organisation's that the agent is to speak, and those the provider refused to take just then."""

from __future__ import annotations

import math

from telephony.effects import Say
from telephony.engines.base import Behavior

REFUSED_RETRY_S = 1.0
REFUSED_RETRIES = 5


class Sayings:
    def __init__(self) -> None:
        self.last: Say | None = None
        self.again_at = math.inf  # monotonic: when a refused sentence is tried again
        self._refused: Say | None = None
        self._tries = 0

    def say(self, text: str, behavior: Behavior) -> Say:
        self.last = Say(text, behavior)
        return self.last

    def refused(self, now: float) -> None:
        """The provider did not take the last sentence: it is tried again a few times."""
        if self.last is None:
            return
        if self.last != self._refused:
            self._tries = 0
        if self._tries < REFUSED_RETRIES:
            self._refused = self.last
            self._tries += 1
            self.again_at = now + REFUSED_RETRY_S

    def again(self) -> Say:
        assert self._refused is not None
        self.again_at, self.last = math.inf, self._refused
        return self._refused
