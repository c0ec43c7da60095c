"""What this process could not keep, counted since it began: for /metrics. Every number but zero is worth an alarm."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Losses:
    entries_waiting: int = 0  # right now: taken, and neither in Redis nor in PostgreSQL nor in a file
    entries_lost: int = 0  # given up: the process ended before any of the three took them, or too many were waiting
    ends_waiting: int = 0  # right now: streams that are over, and PostgreSQL does not know it yet
    ends_lost: int = 0


losses = Losses()
