"""A circuit breaker for each provider, shared by all processes through Redis.

    closed ──5 failures within 30 s──▶ open ──after 15 s──▶ half-open ──answer──▶ closed
                                        ▲                       │ one request at a time is let through
                                        └────────failure────────┘

Only the provider's own trouble counts: unreachable, overloaded, too slow, broken answers. A refused key or an unknown
model is ours, and would be the same tomorrow. When Redis is away the breaker is closed: better to ask than to fall silent.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from redis.exceptions import RedisError

from agents.llm.base import ErrorCode

logger = logging.getLogger("agents.llm")

TROUBLE = frozenset({ErrorCode.UNREACHABLE, ErrorCode.OVERLOADED, ErrorCode.TOO_SLOW, ErrorCode.BROKEN_ANSWER})


class State(Enum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True)
class Rules:
    failures: int = 5
    within_s: float = 30.0
    rest_s: float = 15.0
    trial_s: float = 20.0  # a trial that is never heard of again makes room for the next


# One round trip, and nobody in between: (state, whether this request may go).
_ADMIT = """
local opened = redis.call('GET', KEYS[1])
if not opened then return {'closed', 1} end
if tonumber(ARGV[1]) < tonumber(opened) + tonumber(ARGV[2]) then return {'open', 0} end
local mine = redis.call('SET', KEYS[2], '1', 'NX', 'PX', ARGV[3])
return {'half-open', mine and 1 or 0}
"""
_FAIL = """
if redis.call('GET', KEYS[1]) then
  redis.call('SET', KEYS[1], ARGV[1], 'EX', 3600)
  redis.call('DEL', KEYS[2])
  return 'open'
end
redis.call('ZADD', KEYS[3], ARGV[1], ARGV[4])
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', tonumber(ARGV[1]) - tonumber(ARGV[3]))
redis.call('EXPIRE', KEYS[3], 3600)
if redis.call('ZCARD', KEYS[3]) >= tonumber(ARGV[2]) then
  redis.call('SET', KEYS[1], ARGV[1], 'EX', 3600)
  redis.call('DEL', KEYS[3])
  return 'open'
end
return 'closed'
"""


class Breaker:
    """Of one provider. `redis` is an asynchronous client."""

    def __init__(
        self, name: str, redis: Any, *, rules: Rules | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._keys = [f"llm:{{{name}}}:{part}" for part in ("opened", "trial", "failures")]
        self._name = name
        self._redis = redis
        self._rules = rules or Rules()
        self._clock = clock

    async def admits(self) -> bool:
        """Tell whether a request may be made now. Whoever is let through says afterwards how it went."""
        try:
            _, mine = await self._redis.eval(
                _ADMIT, 2, *self._keys[:2], self._clock(), self._rules.rest_s, int(self._rules.trial_s * 1000)
            )
        except RedisError:
            return True
        return bool(int(mine))

    async def state(self) -> State:
        """Raises RedisError."""
        opened = await self._redis.get(self._keys[0])
        if opened is None:
            return State.CLOSED
        return State.OPEN if self._clock() < float(opened) + self._rules.rest_s else State.HALF_OPEN

    async def succeeded(self) -> None:
        try:
            await self._redis.delete(*self._keys)
        except RedisError:
            pass

    async def failed(self, code: ErrorCode, *, mark: str) -> None:
        """`mark` is the failure's own: the same one noted twice counts once."""
        if code not in TROUBLE:
            return await self.succeeded()  # it answered, if only to refuse
        rules = self._rules
        try:
            state = await self._redis.eval(_FAIL, 3, *self._keys, self._clock(), rules.failures, rules.within_s, mark)
        except RedisError:
            return None
        if state in (b"open", "open"):
            logger.warning("A language model's provider rests.", extra={"provider": self._name, "code": code.value})
        return None
