"""What the bridge wants done. The conversation carries it out, in order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from telephony.engines.base import Behavior, ToolRequest, Utterance
from telephony.enums import EndedReason, EventKind, NextStep


@dataclass(frozen=True, slots=True)
class SendCarrier:
    """Send wire text on the media stream."""

    text: str


@dataclass(frozen=True, slots=True)
class ClearCarrier:
    """Send wire text that empties the carrier's buffer, and drop the audio that still waits to be sent."""

    text: str


@dataclass(frozen=True, slots=True)
class Say:
    """Have the agent speak a sentence of the organisation's."""

    text: str
    behavior: Behavior


@dataclass(frozen=True, slots=True)
class UserSays:
    """Have the agent take text as if the caller had said it, and answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ReplacePrompt:
    """Give the agent other instructions for what it says from now on."""

    prompt: str


@dataclass(frozen=True, slots=True)
class RunTool:
    """Begin a tool's work; `tool_finished` follows."""

    request: ToolRequest


@dataclass(frozen=True, slots=True)
class CancelTool:
    """Stop a tool that is at work: nobody wants its answer any more."""

    key: int  # of the request


@dataclass(frozen=True, slots=True)
class AnswerTool:
    """Give the agent a tool's answer."""

    request: ToolRequest
    content: str


@dataclass(frozen=True, slots=True)
class AddMessage:
    """Write down what was said."""

    sequence: int
    role: str
    text: str


@dataclass(frozen=True, slots=True)
class AddLatency:
    """Milliseconds by component, for the message with this sequence."""

    sequence: int
    values_ms: dict[str, int]


@dataclass(frozen=True, slots=True)
class AddHeard:
    """Write down how much of a message the caller heard before they interrupted it: from 0 to 1."""

    sequence: int
    share: float


@dataclass(frozen=True, slots=True)
class AddEvent:
    """Write down something that happened."""

    sequence: int
    kind: EventKind
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reconnect:
    """Open a new session with the provider, with what was said so far; with the greeting while nothing was."""

    history: tuple[Utterance, ...]
    greeting: str = ""


@dataclass(frozen=True, slots=True)
class Finish:
    """End the stream. `step` is what the carrier does next; None leaves it open (it hung up, or will be asked again)."""

    step: NextStep | None
    reason: EndedReason | None
    to_number: str = ""
    note: str = ""  # what a person who is rung should know


Effect = (
    SendCarrier
    | ClearCarrier
    | Say
    | UserSays
    | ReplacePrompt
    | RunTool
    | CancelTool
    | AnswerTool
    | AddMessage
    | AddLatency
    | AddHeard
    | AddEvent
    | Reconnect
    | Finish
)
