"""What both model stand-ins have in common: whose key it is, what is answered, what goes wrong, what was asked."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sandbox.deepgram.brain import Mind, Thought, ToolUse, after_tool, answer
from sandbox.models.judging import judge

KEPT = 200


class Kind(StrEnum):
    STATUS = "status"  # answers `status` with `code` (and Retry-After, if `after_s` is set)
    HANG = "hang"  # says nothing
    DROP = "drop"  # the connection breaks after the first words
    CUT = "cut"  # the stream ends without its end
    ERROR = "error"  # an error within the stream, after HTTP 200
    SLOW = "slow"  # waits `after_s` before every piece


@dataclass(slots=True)
class Fault:
    kind: Kind
    times: int = 1
    status: int = 503
    code: str = ""
    after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """One turn of a conversation, whichever API it came by."""

    role: str  # "user", "assistant" or "tool"
    text: str
    tool: str = ""  # of a tool's answer: the tool's name


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it was understood, for tests to look at."""

    model: str
    system: str
    said: tuple[Said, ...]
    tools: tuple[str, ...]
    body: dict[str, Any]


@dataclass(slots=True)
class ModelAccount:
    """`script` holds exact answers, used up in order; without any, the rules of the voice agent's stand-in answer."""

    api_key: str
    models: frozenset[str] = frozenset({"sandbox-small", "sandbox-large"})
    context_tokens: int = 100_000
    faults: deque[Fault] = field(default_factory=deque)
    script: deque[Thought] = field(default_factory=deque)
    asked: deque[Asked] = field(default_factory=lambda: deque(maxlen=KEPT))
    counted: Counter[tuple[str, str]] = field(default_factory=Counter)  # tokens by model, and "input" or "output"

    def take_fault(self) -> Fault | None:
        if not self.faults:
            return None
        fault = self.faults[0]
        fault.times -= 1
        if fault.times <= 0:
            self.faults.popleft()
        return fault

    def think(self, asked: Asked) -> Thought:
        self.asked.append(asked)
        if self.script:
            return self.script.popleft()
        if (judged := judge(asked)) is not None:
            return judged
        last = asked.said[-1] if asked.said else Said("user", "")
        if last.role == "tool":
            return Thought(after_tool(last.tool, last.text))
        history = [(one.role, one.text) for one in asked.said if one.role != "tool"]
        return answer(Mind(asked.system, frozenset(asked.tools), history), last.text)


def words_of(text: str) -> list[str]:
    """Return a text in the pieces it is streamed in."""
    pieces = text.split(" ")
    return [piece if at == len(pieces) - 1 else f"{piece} " for at, piece in enumerate(pieces)]


def tokens_of(*texts: str) -> int:
    """Return a count that grows with the texts, as a tokenizer's would."""
    return sum(max(1, len(text) // 4) for text in texts if text)


def arguments_of(tool: ToolUse) -> list[str]:
    """Return a tool's arguments as JSON text in two pieces: no piece is JSON by itself."""
    text = json.dumps(tool.arguments)
    middle = len(text) // 2
    return [text[:middle], text[middle:]]


async def pause(fault: Fault | None) -> None:
    if fault is not None and fault.kind is Kind.SLOW:
        await asyncio.sleep(fault.after_s or 0.0)
