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

from base import jsontext
from base.text import to_valid

MAX_AUDIO_BYTES = 8000  # of one message: a second; the carrier sends 20 ms
MAX_TEXT = 500  # characters of a sid, a name or a parameter

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
        data = _parse_slowly(text)
    if not isinstance(data, dict) or not isinstance(data.get("event"), str):
        raise MalformedMessageError("no event")
    return data


def _parse_slowly(text: str | bytes) -> Any:
    """For what the fast parser refuses: half a character, which must not cost the whole message, or no JSON at all."""
    try:
        return jsontext.decode(text)
    except jsontext.JSONTextError:
        raise MalformedMessageError("not JSON") from None


def media_payload(data: dict[str, Any]) -> bytes:
    """Return the mu-law bytes of a parsed `media` message. Raises MalformedMessageError."""
    try:
        audio = binascii.a2b_base64(data["media"]["payload"])
    except (KeyError, TypeError, ValueError):
        raise MalformedMessageError("media without audio") from None
    if 0 < len(audio) <= MAX_AUDIO_BYTES:
        return audio
    raise MalformedMessageError("no audio, or too much of it")


def decode(data: dict[str, Any]) -> Message:
    """Return the typed form of a parsed message other than `media`. Raises MalformedMessageError."""
    event = data["event"]
    decoder = _DECODERS.get(event)
    if decoder is None:
        return Unknown(to_valid(event[:40]))
    body = data.get(event, {})
    if not isinstance(body, dict) and event != "connected":
        raise MalformedMessageError(f"{event} without a body")
    return decoder(data)


def _text(value: Any) -> str:
    """Return a field as valid text; one of another type, or too long to be one, counts as absent."""
    if isinstance(value, str) and len(value) <= MAX_TEXT:
        return to_valid(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53 else ""


def _member(body: dict[str, Any], name: str) -> dict[str, Any]:
    """Return an object within a message, empty where there is none. Raises MalformedMessageError for something else."""
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise MalformedMessageError(f"{name} is no object")
    return value


def _connected(data: dict[str, Any]) -> Connected:
    return Connected(_text(data.get("protocol")), _text(data.get("version")))


def decode_start(data: dict[str, Any]) -> Start:
    """Return the typed form of a parsed `start` message. Raises MalformedMessageError."""
    body = _member(data, "start")
    media_format = _member(body, "mediaFormat")
    parameters = _member(body, "customParameters")
    try:
        sample_rate_hz = int(media_format.get("sampleRate", 8000))
    except (TypeError, ValueError, OverflowError):
        raise MalformedMessageError("start with a faulty sample rate") from None
    return Start(
        stream_sid=_text(body.get("streamSid") or data.get("streamSid")),
        call_sid=_text(body.get("callSid")),
        account_sid=_text(body.get("accountSid")),
        encoding=_text(media_format.get("encoding", "audio/x-mulaw")),
        sample_rate_hz=sample_rate_hz,
        parameters={_text(key): _text(value) for key, value in parameters.items()},
    )


def _dtmf(data: dict[str, Any]) -> Dtmf:
    digit = data.get("dtmf", {}).get("digit")
    if not isinstance(digit, str) or len(digit) != 1 or digit not in KEYS:
        raise MalformedMessageError("no such key")
    return Dtmf(digit)


_DECODERS: Final[dict[str, Callable[[dict[str, Any]], Message]]] = {
    "connected": _connected,
    "start": decode_start,
    "dtmf": _dtmf,
    "mark": lambda data: Mark(_text(data.get("mark", {}).get("name"))),
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
