"""What can go wrong with an e-mail provider, on order."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    STATUS = "status"  # answers `status`; nothing is accepted. 429 carries X-RateLimit-Reset in `after_s`
    INVALID = "invalid"  # 400 naming `field`; nothing is accepted
    HANG = "hang"  # accepts, and never answers
    DROP = "drop"  # accepts, and the connection breaks before the answer
    BREAK = "break"  # the connection breaks, and nothing was accepted
    SLOW = "slow"  # accepts, and answers after `after_s`


@dataclass(slots=True)
class Fault:
    kind: Kind
    times: int = 1  # requests it strikes; with `every` > 1, every so-manyth only
    every: int = 1
    path: str = "/v3/mail/send"  # what it strikes: this path and all below it
    status: int = 503
    after_s: float = 1.0
    field: str = "personalizations.0.to.0.email"
    message: str = "Does not contain a valid address."
    passed: int = 0

    def strikes(self) -> bool:
        self.passed += 1
        return self.passed % self.every == 0


class Faults:
    """The orders that are open, first come first struck."""

    def __init__(self) -> None:
        self.open: list[Fault] = []

    def order(self, fault: Fault) -> None:
        self.open.append(fault)

    def clear(self) -> None:
        self.open.clear()

    def take(self, path: str) -> Fault | None:
        for fault in self.open:
            if (path == fault.path or path.startswith(fault.path.rstrip("/") + "/")) and fault.strikes():
                fault.times -= 1
                if fault.times <= 0:
                    self.open.remove(fault)
                return fault
        return None
