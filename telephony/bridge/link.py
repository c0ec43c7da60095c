"""The connection to the voice provider: since when we wait for it, and how often it was lost of late."""

from __future__ import annotations

import math

RECONNECTS_IN_WINDOW = 2
RECONNECT_WINDOW_S = 60.0


class Link:
    def __init__(self, *, now: float, max_dead_air_s: float) -> None:
        self._max_dead_air_s = max_dead_air_s
        self._lost_at: list[float] = []
        self._waiting_since: float | None = now
        self.cut_off_mid_turn = False  # the agent was speaking, or about to

    @property
    def was_lost(self) -> bool:
        """Lately."""
        return bool(self._lost_at)

    @property
    def losses(self) -> int:
        return len(self._lost_at)

    def connected(self) -> None:
        self._waiting_since = None

    def may_reconnect(self, now: float) -> bool:
        self._lost_at = [at for at in self._lost_at if now - at < RECONNECT_WINDOW_S]
        return len(self._lost_at) < RECONNECTS_IN_WINDOW

    def reconnecting(self, now: float, *, mid_turn: bool) -> None:
        self._lost_at.append(now)
        self.cut_off_mid_turn = mid_turn
        if self._waiting_since is None:
            self._waiting_since = now

    def unreachable_at(self) -> float:
        """Return when it has taken too long: all attempts together get no more time than one silence may last."""
        return math.inf if self._waiting_since is None else self._waiting_since + self._max_dead_air_s
