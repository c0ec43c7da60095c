"""Whose turn it is to speak, and since when.

After the caller's turn, an injected sentence or an answered tool, the agent owes us audio; when it does not come within
`max_dead_air_s`, the provider has stalled. When nobody owes anything, silence is the caller's.
"""

from __future__ import annotations

import math
from enum import Enum, auto

from telephony.plan import Limits

LONGEST_TURN_S = 30.0  # of a caller of whom nothing more is heard: then it counts as silence
WORDLESS_TURN_S = 7.0  # the same, after the agent was interrupted and stays silent for it


class Late(Enum):
    AGENT = auto()  # owes audio that does not come
    WORDS = auto()  # the caller was heard, but no words followed
    CALLER = auto()  # silent, and it is their turn


class Floor:
    def __init__(self, limits: Limits, *, now: float) -> None:
        self._limits = limits
        self._caller_since: float | None = None
        self._owed_since: float | None = None
        self._active_at = now
        self.silences = 0  # asked about, one after the other
        self.was_interrupted = False  # the agent, by the caller who speaks now
        self.is_held = False  # by somebody else: silence is as it should be

    @property
    def caller_speaks(self) -> bool:
        return self._caller_since is not None

    @property
    def agent_owes(self) -> bool:
        return self._owed_since is not None

    def active(self, now: float) -> None:
        """Something happened: silence is counted from here."""
        self._active_at = now

    def owe(self, now: float) -> None:
        self._owed_since = now

    def settle(self) -> None:
        """The agent speaks, or owes nothing."""
        self._owed_since = None

    def caller_began(self, now: float, *, interrupts: bool) -> None:
        self.was_interrupted = interrupts
        self._owed_since = None
        self._caller_since = now
        self._active_at = now

    def caller_said(self, now: float) -> None:
        """The caller's words are here, and it is the agent's turn."""
        self.was_interrupted = False
        self._caller_since = None
        self.silences = 0
        self._owed_since = now

    def caller_said_nothing(self, now: float) -> bool:
        """A cough or a door; tell whether it had stopped the agent."""
        was, self.was_interrupted = self.was_interrupted, False
        self._caller_since = None
        self._active_at = now
        return was

    def empty(self) -> None:
        """The provider is lost: nobody speaks."""
        self._caller_since = None
        self._owed_since = None

    def next_late(self, *, played_at: float, is_busy: bool) -> tuple[float, Late]:
        """Return when somebody is late, and who. `is_busy`: a tool is at work, and the agent has a reason to be silent.

        That is so whoever speaks meanwhile. A tool has a time limit of its own; with its answer the agent owes us again.
        """
        if self._owed_since is not None and not is_busy:
            return self._owed_since + self._limits.max_dead_air_s, Late.AGENT
        if self._caller_since is not None:
            patience = WORDLESS_TURN_S if self.was_interrupted else LONGEST_TURN_S
            return self._caller_since + patience, Late.WORDS
        if is_busy or self.is_held:
            return math.inf, Late.CALLER
        return max(self._active_at, played_at) + self._silence_limit(), Late.CALLER

    def _silence_limit(self) -> float:
        limits = self._limits
        if self.silences == 0:
            return limits.silence_prompt_s
        return max(limits.silence_goodbye_s - limits.silence_prompt_s, 1.0)
