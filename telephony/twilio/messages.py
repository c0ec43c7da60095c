"""Media Streams messages: wire text to frozen dataclasses and back. No I/O, no clock.

Source: Twilio's "Media Streams — WebSocket messages", protocol version 1.0.0, read 2026-11-20. Unknown events decode to
`Unknown` (they are counted, never fatal); a message that is not one raises MalformedMessageError. Every field but
`event` is treated as optional, because older captures lack some.

Audio does not pass through `decode`: it is a message every 20 ms in each direction, so the consumer takes the payload
out of the parsed JSON itself with `media_payload`, and `MediaWriter` puts constant text around the base64.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

KEYS = "0123456789*#ABCD"


class MalformedMessageError(ValueError):
    """The text is not a Media Streams message."""


@dataclass(frozen=True, slots=True)
class Connected:
    protocol: str
    version: str


@dataclass(frozen=True, slots=True)
class Start:
    stream_sid: str
    call_sid: str
    account_sid: str
    encoding: str
    sample_rate_hz: int
    parameters: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dtmf:
    digit: str


@dataclass(frozen=True, slots=True)
class Mark:
    name: str


@dataclass(frozen=True, slots=True)
class Stop:
    pass


@dataclass(frozen=True, slots=True)
class Unknown:
    event: str


Message = Connected | Start | Dtmf | Mark | Stop | Unknown


def parse(text: str | bytes) -> dict[str, Any]:
    """Raises MalformedMessageError."""
    try:
        data = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise MalformedMessageError("not JSON") from None
    if not isinstance(data, dict) or not isinstance(data.get("event"), str):
        raise MalformedMessageError("no event")
    return data


def media_payload(data: dict[str, Any]) -> bytes:
    """Return the mu-law bytes of a parsed `media` message. Raises MalformedMessageError."""
    try:
        return binascii.a2b_base64(data["media"]["payload"])
    except (KeyError, TypeError, ValueError):
        raise MalformedMessageError("media without audio") from None


def decode(data: dict[str, Any]) -> Message:
    """Return the typed form of a parsed message other than `media`. Raises MalformedMessageError."""
    event = data["event"]
    decoder = _DECODERS.get(event)
    if decoder is None:
        return Unknown(event[:40])
    body = data.get(event, {})
    if not isinstance(body, dict) and event != "connected":
        raise MalformedMessageError(f"{event} without a body")
    return decoder(data)


def _connected(data: dict[str, Any]) -> Connected:
    return Connected(str(data.get("protocol", "")), str(data.get("version", "")))


def _start(data: dict[str, Any]) -> Start:
    body = data.get("start", {})
    media_format = body.get("mediaFormat") or {}
    parameters = body.get("customParameters") or {}
    try:
        sample_rate_hz = int(media_format.get("sampleRate", 8000))
    except (TypeError, ValueError):
        raise MalformedMessageError("start with a faulty sample rate") from None
    return Start(
        stream_sid=str(body.get("streamSid") or data.get("streamSid") or ""),
        call_sid=str(body.get("callSid") or ""),
        account_sid=str(body.get("accountSid") or ""),
        encoding=str(media_format.get("encoding", "audio/x-mulaw")),
        sample_rate_hz=sample_rate_hz,
        parameters={str(key): str(value) for key, value in parameters.items()},
    )


def _dtmf(data: dict[str, Any]) -> Dtmf:
    digit = data.get("dtmf", {}).get("digit")
    if not isinstance(digit, str) or len(digit) != 1 or digit not in KEYS:
        raise MalformedMessageError("no such key")
    return Dtmf(digit)


_DECODERS: Final[dict[str, Callable[[dict[str, Any]], Message]]] = {
    "connected": _connected,
    "start": _start,
    "dtmf": _dtmf,
    "mark": lambda data: Mark(str(data.get("mark", {}).get("name", ""))),
    "stop": lambda data: Stop(),
}


class MediaWriter:
    """Writes the messages of one stream."""

    __slots__ = ("_prefix", "_sid")

    def __init__(self, stream_sid: str) -> None:
        self._sid = stream_sid
        quoted = orjson.dumps(stream_sid).decode()
        self._prefix = f'{{"event":"media","streamSid":{quoted},"media":{{"payload":"'

    def media(self, audio: bytes) -> str:
        return f'{self._prefix}{binascii.b2a_base64(audio, newline=False).decode("ascii")}"}}}}'

    def mark(self, name: str) -> str:
        return orjson.dumps({"event": "mark", "streamSid": self._sid, "mark": {"name": name}}).decode()

    def clear(self) -> str:
        return orjson.dumps({"event": "clear", "streamSid": self._sid}).decode()
