"""What the agent has asked for: at work, or held back until the caller's turn is over."""

from __future__ import annotations

import math
from collections.abc import Set

from telephony.engines.base import ToolRequest

HELD_TOOL_S = 5.0


class ToolCalls:
    def __init__(self, irreversible: Set[str]) -> None:
        self._irreversible = irreversible
        self._running: dict[str, ToolRequest] = {}
        self._held: dict[str, tuple[ToolRequest, float]] = {}

    @property
    def is_busy(self) -> bool:
        return bool(self._running or self._held)

    def start(self, request: ToolRequest, now: float, *, caller_speaks: bool) -> bool:
        """Take a request; tell whether it may be carried out now.

        The agent thinks ahead while the caller may still go on: nothing final happens before the turn ends.
        """
        if caller_speaks and request.name in self._irreversible:
            self._held[request.id] = (request, now + HELD_TOOL_S)
            return False
        self._running[request.id] = request
        return True

    def release(self) -> list[ToolRequest]:
        """The caller's turn is over: return what may be carried out now."""
        held, self._held = self._held, {}
        released = [request for request, _ in held.values()]
        self._running.update({request.id: request for request in released})
        return released

    def cancel(self, identifier: str) -> tuple[bool, bool]:
        """Return whether the request was known, and whether it was at work."""
        held = self._held.pop(identifier, None)
        running = self._running.pop(identifier, None)
        return held is not None or running is not None, running is not None

    def finish(self, identifier: str) -> bool:
        """Tell whether the request was still wanted."""
        return self._running.pop(identifier, None) is not None

    def abandon(self) -> list[str]:
        """The session is lost, and its requests with it: return the ids of those at work."""
        running = list(self._running)
        self._running.clear()
        self._held.clear()
        return running

    def held_until(self) -> float:
        return min((until for _, until in self._held.values()), default=math.inf)

    def take_late(self, now: float) -> list[ToolRequest]:
        """Return, and forget, what was held too long."""
        late = [request for request, until in self._held.values() if until <= now]
        for request in late:
            del self._held[request.id]
        return late
