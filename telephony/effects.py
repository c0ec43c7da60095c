"""What the bridge wants done. The consumer carries it out, in order."""

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
class Say:
    text: str
    behavior: Behavior


@dataclass(frozen=True, slots=True)
class UserSays:
    text: str


@dataclass(frozen=True, slots=True)
class ReplacePrompt:
    prompt: str


@dataclass(frozen=True, slots=True)
class RunTool:
    request: ToolRequest


@dataclass(frozen=True, slots=True)
class CancelTool:
    id: str


@dataclass(frozen=True, slots=True)
class AnswerTool:
    request: ToolRequest
    content: str


@dataclass(frozen=True, slots=True)
class AddMessage:
    sequence: int
    role: str
    text: str


@dataclass(frozen=True, slots=True)
class AddLatency:
    """Milliseconds by component, for the message with this sequence."""

    sequence: int
    values_ms: dict[str, int]


@dataclass(frozen=True, slots=True)
class AddEvent:
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
    | Say
    | UserSays
    | ReplacePrompt
    | RunTool
    | CancelTool
    | AnswerTool
    | AddMessage
    | AddLatency
    | AddEvent
    | Reconnect
    | Finish
)
