"""What a conversation needs of a voice engine, and what an engine tells it.

An engine takes the caller's audio and emits agent audio and typed events. It calls back from the event loop, in the
order in which its provider spoke; it never blocks and never raises out of `send_audio`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

Behavior = Literal["default", "queue", "interrupt"]


class EngineError(Exception):
    """The engine could not be opened. `retryable`: the same attempt may succeed at once or a little later."""

    def __init__(self, code: str, *, retryable: bool, description: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.retryable = retryable
        self.description = description


@dataclass(frozen=True, slots=True)
class Utterance:
    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class ToolSpec:
    name: str
    description: str
    parameters: dict[str, object]
    irreversible: bool = False


@dataclass(frozen=True, slots=True)
class EngineConfig:
    prompt: str
    greeting: str
    language: str
    voice: str
    listen_model: str
    think_provider: str
    think_model: str
    temperature: float
    tools: tuple[ToolSpec, ...] = ()
    history: tuple[Utterance, ...] = ()
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Welcome:
    """The provider took the connection; `request_id` is its name for this session, for its support to find."""

    request_id: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The provider listens."""


@dataclass(frozen=True, slots=True)
class Transcript:
    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class UserStartedSpeaking:
    pass


@dataclass(frozen=True, slots=True)
class AgentThinking:
    """The agent works on an answer: what it says from now on belongs to a new turn."""


@dataclass(frozen=True, slots=True)
class AgentDone:
    """All audio of the agent's turn has been sent to us; it may still be playing."""


@dataclass(frozen=True, slots=True)
class ToolRequest:
    id: str  # the provider's: may be missing or repeated, and is given back as it came
    name: str
    arguments: str  # JSON text as the model wrote it
    key: int = field(default=0, compare=False)  # ours, given by the bridge: what a request is known by


@dataclass(frozen=True, slots=True)
class ToolRequests:
    requests: tuple[ToolRequest, ...]


@dataclass(frozen=True, slots=True)
class ToolsCancelled:
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds by component; a component the provider does not report is absent."""

    values_ms: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SayRefused:
    """A sentence we wanted spoken was not, because somebody was in the middle of a turn."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A warning: the session goes on."""

    code: str
    description: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The session is over."""

    code: str
    description: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class UnknownEvent:
    type: str


Event = (
    Welcome
    | Ready
    | Transcript
    | UserStartedSpeaking
    | AgentThinking
    | AgentDone
    | ToolRequests
    | ToolsCancelled
    | Latency
    | SayRefused
    | Notice
    | Failed
    | UnknownEvent
)

OnAudio = Callable[[bytes], None]
OnEvent = Callable[[Event], None]


class Engine(Protocol):
    async def open(self) -> None:
        """Connect and send the configuration; `Ready` follows as an event. Raises EngineError."""

    def send_audio(self, audio: bytes) -> bool:
        """Pass on caller audio (mu-law, 8 kHz). False when it was dropped because the provider does not keep up."""

    def say(self, text: str, behavior: Behavior) -> None: ...

    def user_says(self, text: str) -> None:
        """Take text as if the caller had said it."""

    def answer_tool(self, request: ToolRequest, content: str) -> None: ...

    def replace_prompt(self, prompt: str) -> None: ...

    async def close(self) -> None:
        """Safe to repeat; nothing is called back any more."""
