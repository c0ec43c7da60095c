"""Keys pressed one after the other, gathered into one number."""

from __future__ import annotations

import math

PAUSE_S = 1.5
TERMINATOR = "#"


class Keypad:
    def __init__(self) -> None:
        self._digits = ""
        self.deadline = math.inf  # monotonic: when what was gathered counts as complete

    def press(self, digit: str, now: float) -> None:
        if digit == TERMINATOR and self._digits:
            self.deadline = now
            return
        self._digits += digit
        self.deadline = now + PAUSE_S

    def take(self) -> str:
        digits, self._digits, self.deadline = self._digits, "", math.inf
        return digits
