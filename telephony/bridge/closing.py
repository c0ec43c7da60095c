"""How a call comes to its end: what follows, which of several endings counts, and how long a goodbye is waited for.

Endings compete: an agent asks for a person and to hang up in one breath, a budget runs out during a transfer. The one of
the higher rank counts, whichever came first; of equal ones the first. A goodbye that is nobody's limit is the caller's to
take back, by going on.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from telephony.bridge.playback import MARK_GRACE_S, Playback
from telephony.effects import Finish
from telephony.enums import EndedReason, NextStep

FAREWELL_WAIT_S = 4.0  # for the agent to begin its goodbye, once it has asked to end the call
SPOKEN_WAIT_S = 2.5  # the same, when it said something in this turn before it asked
CLOSING_LIMIT_S = 20.0
GOING_ON_S = 15.0  # a caller speaks into the goodbye, and no words follow: then it stands
SAME_TURN_S = 1.0  # words this soon after the closing began belong to the turn that led to it


class Rank(IntEnum):
    HANG_UP = 1  # the agent's, or because nobody spoke
    TRANSFER = 2
    LIMIT = 3  # of length or money


@dataclass(slots=True)
class Closing:
    since: float
    rank: Rank
    step: NextStep
    reason: EndedReason | None
    to_number: str = ""
    note: str = ""
    has_spoken: bool = False  # audio came since the closing began
    turn_done: bool = False
    batch: int | None = None  # of the request that led to it: what was asked for with it
    caller_since: float | None = None  # the caller goes on, and may take it back

    @property
    def can_be_taken_back(self) -> bool:
        return self.rank is Rank.HANG_UP

    def caller_began(self, now: float) -> None:
        if self.can_be_taken_back:
            self.caller_since = now

    def is_taken_back_at(self, now: float) -> bool:
        """Tell whether words of the caller that come now take it back."""
        return self.can_be_taken_back and (self.caller_since is not None or now - self.since > SAME_TURN_S)

    def deadline(self, playback: Playback, *, has_answered: bool) -> float:
        """Return when to hang up without having been told that the goodbye was played."""
        if self.caller_since is not None:
            return self.caller_since + GOING_ON_S
        if self.turn_done:
            return max(playback.until + MARK_GRACE_S, self.since)
        if not self.has_spoken and not playback.is_playing:
            # A goodbye before the tool was called is one; without any, the agent gets a moment to begin.
            patience = SPOKEN_WAIT_S if has_answered else FAREWELL_WAIT_S
            return max(self.since, playback.until) + patience
        return self.since + CLOSING_LIMIT_S

    def is_spoken(self, playback: Playback) -> bool:
        return self.turn_done and playback.is_all_played and self.caller_since is None

    def finish(self) -> Finish:
        return Finish(self.step, self.reason, self.to_number, self.note)
