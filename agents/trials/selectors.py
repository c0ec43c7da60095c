"""What the pages show: trials side by side, by version."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import mean
from typing import Any

from agents.trials.models import Scenario, Trial

BATCHES = 5


@dataclass(slots=True)
class Column:
    """One version's trials of a batch."""

    number: int | None
    trials: list[Trial] = field(default_factory=list)

    @property
    def over(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.is_over]

    @property
    def passed(self) -> int:
        return sum(bool(trial.passed) for trial in self.over)

    @property
    def is_flaky(self) -> bool:
        return 0 < self.passed < len(self.over)

    @property
    def mean_turns(self) -> float | None:
        turns = [trial.turns for trial in self.over if trial.turns is not None]
        return mean(turns) if turns else None

    @property
    def mean_ms(self) -> int | None:
        times = [trial.duration_ms for trial in self.over if trial.duration_ms is not None]
        return round(mean(times)) if times else None

    @property
    def faults(self) -> list[str]:
        """What was expected and did not come, each with how often."""
        counts: dict[str, int] = {}
        for trial in self.over:
            for one in trial.checks:
                if not one["passed"]:
                    counts[f"{one['text']}: {one['why']}"] = counts.get(f"{one['text']}: {one['why']}", 0) + 1
        return [f"{text} ({count} of {len(self.over)})" for text, count in counts.items()]


@dataclass(slots=True)
class Batch:
    batch: Any
    at: Any
    columns: list[Column]

    @property
    def is_busy(self) -> bool:
        return any(not trial.is_over for column in self.columns for trial in column.trials)

    @property
    def percent(self) -> int:
        trials = [trial for column in self.columns for trial in column.trials]
        return round(100 * sum(trial.is_over for trial in trials) / len(trials)) if trials else 0


def batches_of(scenario: Scenario) -> list[Batch]:
    newest = scenario.trials.order_by().values("batch").distinct()
    found: dict[Any, list[Trial]] = {}
    for trial in scenario.trials.filter(batch__in=newest).order_by("-created_at", "version_number", "repeat")[:300]:
        found.setdefault(trial.batch, []).append(trial)
    return [_batch(batch, trials) for batch, trials in list(found.items())[:BATCHES]]


def _batch(batch: Any, trials: Iterable[Trial]) -> Batch:
    columns: dict[int | None, Column] = {}
    for trial in trials:
        columns.setdefault(trial.version_number, Column(trial.version_number)).trials.append(trial)
    for column in columns.values():
        column.trials.sort(key=lambda trial: trial.repeat)
    ordered = sorted(columns.values(), key=lambda column: -(column.number or 0))
    return Batch(batch, min(trial.created_at for trial in trials), ordered)


def last_result(scenario: Scenario) -> tuple[int, int] | None:
    """Return how many of the newest batch's trials passed, and how many there were."""
    newest = scenario.trials.order_by("-created_at").first()
    if newest is None:
        return None
    trials = list(scenario.trials.filter(batch=newest.batch))
    return sum(bool(trial.passed) for trial in trials), len(trials)
