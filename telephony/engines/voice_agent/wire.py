"""The Voice Agent's JSON messages, to and from ours. No I/O, no clock.

Source: Deepgram's Voice Agent reference and its AsyncAPI description of 2026-07-22, changelog up to 2026-09-08. Unknown
message types become `UnknownEvent`; what cannot be parsed raises ValueError. Audio travels as binary frames and does
not come here. Plain dictionaries rather than the SDK's models: those cost 13–350 µs a message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

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
    message = orjson.loads(text)
    if not isinstance(message, dict):
        raise ValueError("not an object")
    kind = str(message.get("type", ""))
    if kind in IGNORED:
        return None
    decoder = _DECODERS.get(kind)
    return decoder(message) if decoder else UnknownEvent(kind[:60])


def _conversation_text(message: dict[str, Any]) -> Event | None:
    content = str(message.get("content") or "").strip()
    if not content:
        return None
    return Transcript("user" if message.get("role") == "user" else "assistant", content)


def _function_calls(message: dict[str, Any]) -> Event | None:
    requests = tuple(
        ToolRequest(str(call.get("id") or ""), str(call.get("name") or ""), str(call.get("arguments") or "{}"))
        for call in message.get("functions") or ()
        if call.get("client_side", True)  # the others run at the provider and are only reported
    )
    return ToolRequests(requests) if requests else None


def _cancelled(message: dict[str, Any]) -> Event:
    return ToolsCancelled(tuple(str(call.get("id")) for call in message.get("functions") or ()))


def _latency(message: dict[str, Any]) -> Event:
    values: dict[str, int] = {}
    for name, fields in _LATENCY_FIELDS.items():
        seconds = next((message[key] for key in fields if isinstance(message.get(key), int | float)), None)
        if seconds is not None:
            values[name] = round(seconds * 1000)
    return Latency(values)


def _server_function_response(message: dict[str, Any]) -> Event:
    return Notice("SERVER_SIDE_FUNCTION", str(message.get("name") or ""))


def _error(message: dict[str, Any]) -> Event:
    code = str(message.get("code") or "UNKNOWN")
    return Failed(code, str(message.get("description") or ""), retryable=code in RETRYABLE_ERRORS)


_DECODERS: dict[str, Callable[[dict[str, Any]], Event | None]] = {
    "Welcome": lambda message: Welcome(str(message.get("request_id") or "")),
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
    "Warning": lambda message: Notice(str(message.get("code") or ""), str(message.get("description") or "")),
    "Error": _error,
}


def keep_alive() -> bytes:
    return b'{"type":"KeepAlive"}'


def inject_agent_message(text: str, behavior: Behavior) -> bytes:
    return orjson.dumps({"type": "InjectAgentMessage", "message": text, "behavior": behavior})


def inject_user_message(text: str) -> bytes:
    return orjson.dumps({"type": "InjectUserMessage", "content": text})


def function_call_response(request: ToolRequest, content: str) -> bytes:
    return orjson.dumps({"type": "FunctionCallResponse", "id": request.id, "name": request.name, "content": content})


def update_think(think: dict[str, Any]) -> bytes:
    return orjson.dumps({"type": "UpdateThink", "think": think})
