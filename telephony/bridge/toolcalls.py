"""What the agent has asked for: at work, held back until the caller's turn is over, or answered out of turn.

Requests are known by keys of ours: a provider's ids may be missing or repeated. Where two requests have the same id, the
provider can tell their answers apart by their order alone, so they are given in the order they were asked for.
"""

from __future__ import annotations

import math
from collections.abc import Set
from dataclasses import dataclass, replace
from enum import Enum, auto

from telephony.engines.base import ToolRequest

HELD_TOOL_S = 5.0


class Fate(Enum):
    UNWANTED = auto()  # cancelled meanwhile
    WANTED = auto()
    ORPHANED = auto()  # the session that asked is lost


@dataclass(slots=True)
class _Call:
    request: ToolRequest
    batch: int
    held_until: float | None = None
    is_orphaned: bool = False
    answer: str | None = None  # ready, and waiting for its turn


class ToolCalls:
    def __init__(self, irreversible: Set[str]) -> None:
        self._irreversible = irreversible
        self._calls: dict[int, _Call] = {}  # by key, in the order they were asked for
        self._keys = 0
        self._batch = 0

    @property
    def is_busy(self) -> bool:
        return any(call.answer is None for call in self._calls.values())

    @property
    def is_working(self) -> bool:
        """Something is being done whose result will be known, if only to a later session."""
        return any(call.answer is None and call.held_until is None for call in self._calls.values())

    def begin_batch(self) -> None:
        """What is taken from now on was asked for together."""
        self._batch += 1

    def take(self, request: ToolRequest, now: float, *, caller_speaks: bool) -> tuple[ToolRequest, bool]:
        """Return the request with its key, and whether it may be carried out now.

        The agent thinks ahead while the caller may still go on: nothing final happens before the turn ends.
        """
        self._keys += 1
        keyed = replace(request, key=self._keys)
        is_held = caller_speaks and request.name in self._irreversible
        self._calls[keyed.key] = _Call(keyed, self._batch, now + HELD_TOOL_S if is_held else None)
        return keyed, not is_held

    def batch_of(self, request: ToolRequest) -> int | None:
        call = self._calls.get(request.key)
        return None if call is None else call.batch

    def release(self) -> list[ToolRequest]:
        """The caller's turn is over: return what may be carried out now."""
        held = [call for call in self._calls.values() if call.held_until is not None]
        for call in held:
            call.held_until = None
        return [call.request for call in held]

    def cancel(self, identifier: str) -> list[tuple[ToolRequest, bool]]:
        """Take back requests by the provider's id, those of the latest batch that has it; return which, and who worked."""
        found = [one for one in self._calls.values() if one.request.id == identifier and not one.is_orphaned]
        latest = max((call.batch for call in found), default=0)
        cancelled = [call for call in found if call.batch == latest]
        for call in cancelled:
            del self._calls[call.request.key]
        return [(call.request, call.held_until is None and call.answer is None) for call in cancelled]

    def finish(self, request: ToolRequest, content: str) -> tuple[Fate, list[tuple[ToolRequest, str]]]:
        """Return whether the request was still wanted, and the answers that may be given now."""
        call = self._calls.get(request.key)
        if call is None:
            return Fate.UNWANTED, []
        if call.is_orphaned:
            del self._calls[request.key]
            return Fate.ORPHANED, []
        call.answer = content
        return Fate.WANTED, self.ready_answers()

    def ready_answers(self) -> list[tuple[ToolRequest, str]]:
        """Return, and forget, the answers before which no other with the same id is due."""
        due: set[str] = set()
        ready = []
        for call in [one for one in self._calls.values() if not one.is_orphaned]:
            if call.answer is None or call.request.id in due:
                due.add(call.request.id)
            else:
                ready.append((call.request, call.answer))
                del self._calls[call.request.key]
        return ready

    def lose_session(self) -> list[tuple[ToolRequest, str]]:
        """Forget what was not begun; what is at work goes on, as it may be done already. Return answers not yet given."""
        begun = [call for call in self._calls.values() if call.held_until is None]
        self._calls = {call.request.key: call for call in begun if call.answer is None}
        for call in self._calls.values():
            call.is_orphaned = True
        return [(call.request, call.answer) for call in begun if call.answer is not None]

    def held_until(self) -> float:
        return min((call.held_until for call in self._calls.values() if call.held_until is not None), default=math.inf)

    def answer_late(self, now: float, answer: str) -> list[ToolRequest]:
        """Answer what was held too long, and return it."""
        late = [call for call in self._calls.values() if call.held_until is not None and call.held_until <= now]
        for call in late:
            call.held_until, call.answer = None, answer
        return [call.request for call in late]
