"""How far a running call may still go, as a state machine: time and news in, the stage it has reached out. No I/O.

    NONE ──warning──▶ WARNED ──critical──▶ WINDING_DOWN ──time over, emergency──▶ ENDING

Two things move it: what the call itself costs, which grows with time by known rates, and how far the organisation's
budgets are used up, which somebody else looks up now and then. A stage is never left backwards.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import IntEnum

from billing.enums import Level
from telephony.costing import MinuteCost

LONGEST_MINUTES = 240  # no call is longer


class Stage(IntEnum):
    NONE = 0
    WARNED = 1
    WINDING_DOWN = 2
    ENDING = 3


_BY_OWN_COST = {Level.WARNING: Stage.WARNED, Level.CRITICAL: Stage.WINDING_DOWN, Level.EMERGENCY: Stage.ENDING}
# An organisation that has used up most of its month does not want its callers hurried: only the limit itself counts.
_BY_BUDGETS = {Level.CRITICAL: Stage.WINDING_DOWN, Level.EMERGENCY: Stage.ENDING}


@dataclass(frozen=True, slots=True)
class SpendingPlan:
    """`per_call` is None without a limit for one call; `watches` tells that days, weeks or months have one."""

    minute: MinuteCost
    per_call: Decimal | None
    percents: Mapping[Level, int]
    never_cuts_off: bool
    watches: bool
    wind_down_s: float
    warning_note: str
    wind_down_note: str
    goodbye: str
    thresholds: tuple[tuple[float, Stage], ...] = field(init=False)  # seconds of the call, and the stage they bring

    def __post_init__(self) -> None:
        limit = self.per_call
        found = [] if limit is None else [
            (seconds_until(limit * percent / 100, self.minute), _BY_OWN_COST[level])
            for level, percent in self.percents.items()
            if level in _BY_OWN_COST
        ]  # fmt: skip
        object.__setattr__(self, "thresholds", tuple(sorted(found)))


def seconds_until(amount: Decimal, minute: MinuteCost) -> float:
    """Return after how many seconds a call has cost an amount: infinite when it never does, or nobody knows."""
    begun, second = minute.by_begun, minute.by_second
    if begun is None or second is None:
        return math.inf
    for number in range(LONGEST_MINUTES):
        at = number * 60
        if begun * (number + 1) + second * number >= amount:
            return float(at)
        if second and (left := (amount - begun * (number + 1)) / second * 60) <= at + 60:
            return float(left)
    return math.inf


class Spending:
    def __init__(self, plan: SpendingPlan, *, started_at: float) -> None:
        self.plan = plan
        self.stage = Stage.NONE
        self._started_at = started_at
        self._outside = Stage.NONE
        self._ends_at = math.inf

    def told(self, level: Level) -> None:
        """How far the organisation's budgets are used up, from whoever looked."""
        self._outside = max(self._outside, _BY_BUDGETS.get(level, Stage.NONE))

    def next_at(self) -> float:
        """Return when the stage changes next; infinite when time alone changes nothing."""
        if self._wanted(self._outside) > self.stage:
            return -math.inf
        own = (self._started_at + after_s for after_s, stage in self.plan.thresholds if self._wanted(stage) > self.stage)
        return min(min(own, default=math.inf), self._ends_at)

    def advance(self, now: float) -> Stage | None:
        """Return the stage that is reached now, if it is another than before."""
        reached = [stage for after_s, stage in self.plan.thresholds if self._started_at + after_s <= now]
        stage = self._wanted(max([*reached, self._outside], default=Stage.NONE))
        if now >= self._ends_at:
            stage = Stage.ENDING
        if stage <= self.stage:
            return None
        self.stage = stage
        if stage is Stage.WINDING_DOWN:
            self._ends_at = now + self.plan.wind_down_s
        return stage

    def _wanted(self, stage: Stage) -> Stage:
        return min(stage, Stage.WARNED) if self.plan.never_cuts_off else stage
