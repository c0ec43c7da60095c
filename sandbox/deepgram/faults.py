"""What can go wrong with a voice agent, on order."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    REFUSE = "refuse"  # the handshake is answered with `status`
    STALL_SETTINGS = "stall-settings"  # never SettingsApplied
    STALL = "stall"  # hears, and says nothing more
    DEAF = "deaf"  # the connection breaks with what was heard, before a word of it is sent
    DROP = "drop"  # the connection breaks
    ERROR = "error"  # an Error message with `code`, then the socket closes
    WARN = "warn"  # a Warning message with `code`
    SPECULATE = "speculate"  # calls a tool before the turn has ended, then takes it back
    SESSION_LIMIT = "session-limit"
    REFUSE_SAY = "refuse-say"  # InjectAgentMessage is refused


@dataclass(slots=True)
class Fault:
    kind: Kind
    turn: int = 1  # strikes at the caller's nth turn of a session; 0: at the handshake or the greeting
    times: int = 1  # sessions it strikes in
    status: int = 503
    code: str = "INTERNAL_SERVER_ERROR"


class Faults:
    """The orders that are open. A fault strikes once a session, `times` sessions long."""

    def __init__(self) -> None:
        self.open: list[Fault] = []

    def order(self, fault: Fault) -> None:
        self.open.append(fault)

    def clear(self) -> None:
        self.open.clear()

    def take(self, kind: Kind, turn: int) -> Fault | None:
        for fault in self.open:
            if fault.kind is kind and fault.turn == turn:
                fault.times -= 1
                if fault.times <= 0:
                    self.open.remove(fault)
                return fault
        return None
