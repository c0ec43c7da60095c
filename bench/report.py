"""What was measured, what was aimed at, and the table and file that say so."""

from __future__ import annotations

import json
import operator
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

_COMPARE = {"<=": operator.le, ">=": operator.ge}


@dataclass(frozen=True, slots=True)
class Result:
    """One measured value. `value` is None when it could not be measured; `note` then says why."""

    benchmark: str
    name: str
    value: float | None
    unit: str
    target: float | None = None
    sense: str = "<="
    note: str = ""

    @property
    def reached(self) -> bool | None:
        if self.value is None or self.target is None:
            return None
        return bool(_COMPARE[self.sense](self.value, self.target))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` (0–1) of a non-empty sequence lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def show(results: Sequence[Result]) -> None:
    """Print a table, one line a value."""
    for result in results:
        value = "unknown" if result.value is None else f"{result.value:,.{_digits(result.value)}f} {result.unit}"
        target = "" if result.target is None else f"{result.sense} {result.target:g}"
        verdict = {None: "", True: "reached", False: "MISSED"}[result.reached]
        line = f"  {result.name:<50} {value:>16}  {target:<8} {verdict:<8} {result.note}"
        print(line.rstrip(), flush=True)


def _digits(value: float) -> int:
    if value == int(value) or abs(value) >= 100:
        return 0
    return 1 if abs(value) >= 10 else 2


def write(results: Sequence[Result], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    body = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"platform": platform.platform(), "python": platform.python_version()},
        "results": [{**asdict(result), "reached": result.reached} for result in results],
    }
    path.write_text(json.dumps(body, indent=2) + "\n")
