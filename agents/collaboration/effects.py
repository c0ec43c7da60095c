"""What the machine wants done. Whoever holds the call carries it out, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agents.collaboration.enums import Outcome, Stage, Trigger


@dataclass(frozen=True, slots=True)
class Rate:
    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Judge:
    """Ask a model what an answer meant that no phrase explains."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Consult:
    number: int
    question: str


@dataclass(frozen=True, slots=True)
class CancelWork:
    pass


@dataclass(frozen=True, slots=True)
class Speak:
    text: str
    behavior: Literal["queue", "interrupt"]


@dataclass(frozen=True, slots=True)
class Pause:
    """Put the agent's conversation on hold, by a note in its instructions."""

    note: str


@dataclass(frozen=True, slots=True)
class Give:
    """Give the agent the answer by a note in its instructions, and the turn that has it speak."""

    note: str
    turn: str


@dataclass(frozen=True, slots=True)
class Release:
    """The agent goes on as it was."""


@dataclass(frozen=True, slots=True)
class Began:
    trigger: Trigger
    question: str
    complexity: float | None


@dataclass(frozen=True, slots=True)
class Moved:
    stage: Stage
    consent: str = ""  # the caller's words, with the move they caused


@dataclass(frozen=True, slots=True)
class Ended:
    outcome: Outcome


Effect = Rate | Judge | Consult | CancelWork | Speak | Pause | Give | Release | Began | Moved | Ended
