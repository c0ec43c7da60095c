"""What is asked of a language model, and what it answers with: the same for every provider.

A conversation is kept as neutral turns and rendered for a provider when it is asked. Sources of both wire formats:
OpenAI's chat completions and Anthropic's Messages, as their SDKs speak them (2026-11).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, Protocol

TurnRole = Literal["user", "assistant", "tool"]


class LlmError(Exception):
    """The model did not answer, or not to the end. `code` is ours, one of ErrorCode; nothing of the prompt is in it."""

    def __init__(self, code: ErrorCode, *, retryable: bool = False, retry_after_s: float | None = None) -> None:
        super().__init__(code.value)
        self.code = code
        self.retryable = retryable
        self.retry_after_s = retry_after_s


class ErrorCode(Enum):
    NOT_CONFIGURED = "not-configured"
    UNREACHABLE = "unreachable"
    TOO_SLOW = "too-slow"  # the deadline passed
    RATE_LIMITED = "rate-limited"
    OVERLOADED = "overloaded"
    NO_CREDIT = "no-credit"
    REFUSED_KEY = "refused-key"
    UNKNOWN_MODEL = "unknown-model"
    REFUSED_REQUEST = "refused-request"
    TOO_LONG = "too-long"  # the context does not fit the model
    BROKEN_ANSWER = "broken-answer"
    RESTING = "resting"  # the circuit breaker is open: nobody was asked


@dataclass(frozen=True, slots=True)
class ToolCall:
    id: str
    name: str
    arguments: str  # JSON text as the model wrote it


@dataclass(frozen=True, slots=True)
class Turn:
    """One entry of a conversation. A tool's answer names the call it answers."""

    role: TurnRole
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class ToolOffer:
    name: str
    description: str
    parameters: dict[str, Any]  # a JSON Schema object


@dataclass(frozen=True, slots=True)
class ModelRequest:
    model: str
    system: str
    turns: tuple[Turn, ...]
    tools: tuple[ToolOffer, ...] = ()
    temperature: float | None = None  # None, or a model that takes none: the provider's default
    max_output_tokens: int = 1_000
    deadline_s: float = 30.0  # for the whole answer, retries included


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the provider counted them."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event. `usage` is None where the provider does not report it."""

    reason: Literal["stop", "tools", "length", "refusal", "other"]
    usage: Usage | None


ModelEvent = TextDelta | ToolCall | Finished


@dataclass(frozen=True, slots=True)
class Completion:
    text: str
    tool_calls: tuple[ToolCall, ...]
    reason: str
    usage: Usage | None


class LanguageModel(Protocol):
    provider: str

    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Ask once. Yields text as it comes, tool calls when they are whole, and Finished. Raises LlmError."""


@dataclass(slots=True)
class Collected:
    """What has come of an answer so far: fed with its events, in order."""

    text: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)
    finished: Finished | None = None

    def add(self, event: ModelEvent) -> None:
        match event:
            case TextDelta(text):
                self.text += text
            case ToolCall():
                self.tool_calls.append(event)
            case Finished():
                self.finished = event

    def completion(self) -> Completion:
        """Raises LlmError when the stream ended without saying so."""
        if self.finished is None:
            raise LlmError(ErrorCode.BROKEN_ANSWER, retryable=True)
        return Completion(self.text, tuple(self.tool_calls), self.finished.reason, self.finished.usage)
