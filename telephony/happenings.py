"""What the page of a call says of an event, in words; what only helps a technician is kept apart. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from telephony.enums import EndedReason, Fault

TECHNICAL = frozenset({"stream_sid", "request_id", "frames_in", "frames", "id", "stream", "type", "after_reconnects"})
_NAMES = {
    "to": "to",
    "ringing": "rings",
    "taken": "taken",
    "unheard_ms": "not heard, in ms",
    "digit": "key",
    "duration_s": "seconds",
    "name": "tool",
    "arguments": "with",
    "why": "because",
    "hung_up": "hung up",
    "said": "said",
    "fault": "whose doing",
}
_WORDS: dict[str, type[EndedReason] | type[Fault]] = {"reason": EndedReason, "fault": Fault}


def facts(detail: Mapping[str, Any] | None) -> list[tuple[str, Any]]:
    """Return name and value of what an event tells people."""
    return [(name_of(key), _value(key, value)) for key, value in _told(detail) if key not in TECHNICAL]


def technical(detail: Mapping[str, Any] | None) -> list[tuple[str, Any]]:
    return [(name_of(key), _value(key, value)) for key, value in _told(detail) if key in TECHNICAL]


def name_of(key: str) -> str:
    return _NAMES.get(key, key.replace("_", " "))


def _told(detail: Mapping[str, Any] | None) -> list[tuple[str, Any]]:
    return [(key, value) for key, value in (detail or {}).items() if value not in ("", None)]


def _value(key: str, value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    words = _WORDS.get(key)
    if words is not None and value in words.values:
        return words(value).label
    return value
