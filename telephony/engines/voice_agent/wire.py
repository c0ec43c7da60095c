"""The Voice Agent's JSON messages, to and from ours. No I/O, no clock.

Source: Deepgram's Voice Agent reference and its AsyncAPI description of 2026-07-22, changelog up to 2026-09-08. Unknown
message types become `UnknownEvent`; what cannot be parsed raises ValueError, and nothing else. Audio travels as binary
frames and does not come here. Plain dictionaries rather than the SDK's models: those cost 13–350 µs a message.

Text is made valid here, once (half an emoji becomes U+FFFD), field by field: to walk through whole messages would take long
for one that is nothing but brackets. A field of another type than the reference says counts as absent, but for whole
numbers, and for a call's arguments: as an object they become the JSON text they were meant to be.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import orjson

from base import jsontext
from base.text import to_valid, to_valid_json
from telephony.engines.base import (
    AgentDone,
    AgentThinking,
    Behavior,
    Event,
    Failed,
    Latency,
    Notice,
    Ready,
    SayRefused,
    ToolRequest,
    ToolRequests,
    ToolsCancelled,
    Transcript,
    UnknownEvent,
    UserStartedSpeaking,
    Welcome,
)

# Errors after which the same session can be taken up again with its history. All the others are faults of the
# configuration, which a second attempt would only repeat.
RETRYABLE_ERRORS = frozenset(
    {
        "INTERNAL_SERVER_ERROR",
        "FAILED_TO_START_LISTENING",
        "ASR_CONNECTION_CLOSED",
        "ASR_DRIVER_TIMEOUT",
        "SERVER_GOING_AWAY",
        "MAXIMUM_SESSION_LENGTH_REACHED",
        "CLIENT_MESSAGE_TIMEOUT",
        "FAILED_TO_THINK",
        "FAILED_TO_SPEAK",
        "NON_EXISTENT_FUNCTION_CALLED",
    }
)
MAX_MESSAGE_BYTES = 256 * 1024  # real ones have a few thousand; a larger one would hold up the audio of other calls
MAX_ODD_BYTES = 64 * 1024  # of one that the fast parser refuses
UNREADABLE = "(unreadable)"
MAX_SECONDS = 3600  # of a latency
# Acknowledgements and duplicates: nothing to do.
IGNORED = frozenset({"PromptUpdated", "ThinkUpdated", "ThinkLiveUpdated", "SpeakUpdated", "ListenUpdated", "History"})
# Deepgram reports seconds; several words for thinking exist, the first that is there counts.
_LATENCY_FIELDS = {
    "listen": ("stt_latency",),
    "think": ("ttt_text_latency", "ttt_token_latency", "ttt_latency"),
    "tool": ("ttt_tool_latency",),
    "speak": ("tts_latency",),
    "provider_total": ("total_latency",),
}


def decode(text: str | bytes) -> Event | None:
    """Return the event a message stands for, or None for one that needs no attention. Raises ValueError."""
    message = _parse(text)
    if not isinstance(message, dict):
        raise ValueError("not an object")
    kind = _text(message, "type")
    if kind in IGNORED:
        return None
    decoder = _DECODERS.get(kind)
    return decoder(message) if decoder else UnknownEvent(kind[:60])


def _parse(text: str | bytes) -> Any:
    if len(text) > MAX_MESSAGE_BYTES:
        raise ValueError("too long")
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:  # half a character must not cost the whole message
        return jsontext.decode(text, max_bytes=MAX_ODD_BYTES)


def _text(message: dict[str, Any], name: str) -> str:
    value = message.get(name)
    if isinstance(value, str):
        return to_valid(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _conversation_text(message: dict[str, Any]) -> Event | None:
    content = _text(message, "content").strip()
    if not content:
        return None
    return Transcript("user" if message.get("role") == "user" else "assistant", content)


def _functions(message: dict[str, Any]) -> list[dict[str, Any]]:
    listed = message.get("functions")
    return [call for call in listed if isinstance(call, dict)] if isinstance(listed, list) else []


def _function_calls(message: dict[str, Any]) -> Event | None:
    requests = tuple(
        ToolRequest(_text(call, "id"), _text(call, "name"), _arguments(call.get("arguments")))
        for call in _functions(message)
        if call.get("client_side") is not False  # the others run at the provider and are only reported
    )
    return ToolRequests(requests) if requests else None


def _arguments(value: Any) -> str:
    if isinstance(value, str):
        return to_valid(value) or "{}"
    try:
        return "{}" if value is None else dumps(value).decode()
    except RecursionError:
        return UNREADABLE  # which is no JSON, as the model will be told


def _cancelled(message: dict[str, Any]) -> Event:
    return ToolsCancelled(tuple(_text(call, "id") for call in _functions(message)))


def _latency(message: dict[str, Any]) -> Event:
    values: dict[str, int] = {}
    for name, fields in _LATENCY_FIELDS.items():
        seconds = next((message[key] for key in fields if _is_duration(message.get(key))), None)
        if seconds is not None:
            values[name] = round(seconds * 1000)
    return Latency(values)


def _is_duration(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MAX_SECONDS


def _server_function_response(message: dict[str, Any]) -> Event:
    return Notice("SERVER_SIDE_FUNCTION", _text(message, "name"))


def _error(message: dict[str, Any]) -> Event:
    code = _text(message, "code") or "UNKNOWN"
    return Failed(code, _text(message, "description"), retryable=code in RETRYABLE_ERRORS)


_DECODERS: dict[str, Callable[[dict[str, Any]], Event | None]] = {
    "Welcome": lambda message: Welcome(_text(message, "request_id")),
    "SettingsApplied": lambda message: Ready(),
    "ConversationText": _conversation_text,
    "UserStartedSpeaking": lambda message: UserStartedSpeaking(),
    "AgentThinking": lambda message: AgentThinking(),
    "AgentStartedSpeaking": lambda message: AgentThinking(),
    "AgentAudioDone": lambda message: AgentDone(),
    "FunctionCallRequest": _function_calls,
    "FunctionCallCancelled": _cancelled,
    "FunctionCallResponse": _server_function_response,
    "LatencyReport": _latency,
    "InjectionRefused": lambda message: SayRefused(),
    "Warning": lambda message: Notice(_text(message, "code"), _text(message, "description")),
    "Error": _error,
}


def keep_alive() -> bytes:
    return b'{"type":"KeepAlive"}'


def dumps(value: Any) -> bytes:
    """Return a value as JSON, whatever is in it: text that is not Unicode is made valid, an odd number written out."""
    try:
        return orjson.dumps(value)
    except TypeError:  # half a surrogate pair, a number of more than 64 bits, a type JSON does not know
        return json.dumps(to_valid_json(value), ensure_ascii=False, default=str).encode("utf-8", "replace")


def inject_agent_message(text: str, behavior: Behavior) -> bytes:
    return dumps({"type": "InjectAgentMessage", "message": text, "behavior": behavior})


def inject_user_message(text: str) -> bytes:
    return dumps({"type": "InjectUserMessage", "content": text})


def function_call_response(request: ToolRequest, content: str) -> bytes:
    """Return the answer to a request, under the id and the name the provider gave it. Never raises."""
    return dumps({"type": "FunctionCallResponse", "id": request.id, "name": request.name, "content": content})


def update_think(think: dict[str, Any]) -> bytes:
    return dumps({"type": "UpdateThink", "think": think})
