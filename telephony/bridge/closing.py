"""How a call comes to its end: what follows, and how long a goodbye is waited for."""

from __future__ import annotations

from dataclasses import dataclass

from telephony.bridge.playback import MARK_GRACE_S, Playback
from telephony.effects import Finish
from telephony.enums import EndedReason, NextStep

FAREWELL_WAIT_S = 4.0  # for the agent to begin its goodbye, once it has asked to end the call
SPOKEN_WAIT_S = 2.5  # the same, when it said something in this turn before it asked
CLOSING_LIMIT_S = 20.0


@dataclass(slots=True)
class Closing:
    since: float
    step: NextStep
    reason: EndedReason | None
    to_number: str = ""
    note: str = ""
    has_spoken: bool = False  # audio came since the closing began
    turn_done: bool = False

    def deadline(self, playback: Playback, *, has_answered: bool) -> float:
        """Return when to hang up without having been told that the goodbye was played."""
        if self.turn_done:
            return max(playback.until + MARK_GRACE_S, self.since)
        if not self.has_spoken and not playback.is_playing:
            # A goodbye before the tool was called is one; without any, the agent gets a moment to begin.
            patience = SPOKEN_WAIT_S if has_answered else FAREWELL_WAIT_S
            return max(self.since, playback.until) + patience
        return self.since + CLOSING_LIMIT_S

    def is_spoken(self, playback: Playback) -> bool:
        return self.turn_done and playback.is_all_played

    def finish(self) -> Finish:
        return Finish(self.step, self.reason, self.to_number, self.note)
