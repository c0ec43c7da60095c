"""The TwiML we answer with, one function each.

Whatever text reaches it (a line's sentence, a contact's name, a model's reason), what is written is well-formed: a caller
hears "application error" for a single character that XML has not.
"""

from __future__ import annotations

from dataclasses import dataclass

from twilio.twiml import TwiML
from twilio.twiml.voice_response import Gather, VoiceResponse

from base.text import to_valid


@dataclass(frozen=True, slots=True)
class Speech:
    text: str
    voice: str
    language: str


def _write(response: VoiceResponse) -> str:
    _make_valid(response)
    return str(response)


def _make_valid(node: TwiML) -> None:
    """Make every text and attribute valid, here and below. The SDK escapes markup, and writes control characters as is."""
    node.value = to_valid(node.value) if isinstance(node.value, str) else node.value
    node.attrs = {name: to_valid(value) if isinstance(value, str) else value for name, value in node.attrs.items()}
    for inner in node.verbs:
        _make_valid(inner)


def _say(response: VoiceResponse | Gather, speech: Speech | None) -> None:
    if speech is not None and to_valid(speech.text).strip():
        response.say(speech.text, voice=speech.voice or None, language=speech.language or None)


def connect_stream(*, stream_url: str, parameters: dict[str, str], continue_url: str, before: Speech | None = None) -> str:
    """Open a media stream; when it ends, however it ends, the carrier asks `continue_url` what to do."""
    response = VoiceResponse()
    _say(response, before)
    stream = response.connect().stream(url=stream_url)
    for name, value in parameters.items():
        stream.parameter(name=name, value=value)
    response.redirect(continue_url, method="POST")
    return _write(response)


def say_and_hang_up(speech: Speech | None = None) -> str:
    response = VoiceResponse()
    _say(response, speech)
    response.hangup()
    return _write(response)


def wait_and_ask_again(*, url: str, seconds: int) -> str:
    response = VoiceResponse()
    response.pause(length=seconds)
    response.redirect(url, method="POST")
    return _write(response)


def dial(
    *,
    number: str,
    caller_id: str,
    timeout_s: int,
    action_url: str,
    before: Speech | None = None,
    briefing_url: str = "",
) -> str:
    """Ring a person; `action_url` hears what became of it. What `briefing_url` says, the person hears before the caller."""
    response = VoiceResponse()
    _say(response, before)
    leg = response.dial(
        caller_id=caller_id or None, timeout=timeout_s, action=action_url, method="POST", answer_on_bridge=True
    )
    leg.number(number, url=briefing_url or None, method="POST" if briefing_url else None)
    return _write(response)


def ask_for_key(speech: Speech, *, action_url: str, timeout_s: int) -> str:
    """Say something and wait for one key; without any, or with the call ended, nobody is connected."""
    response = VoiceResponse()
    gather = response.gather(num_digits=1, action=action_url, method="POST", timeout=timeout_s, input="dtmf")
    _say(gather, speech)
    response.hangup()
    return _write(response)


def take_message(*, before: Speech | None, max_s: int, action_url: str, recording_status_url: str) -> str:
    response = VoiceResponse()
    _say(response, before)
    response.record(
        max_length=max_s,
        play_beep=True,
        action=action_url,
        method="POST",
        recording_status_callback=recording_status_url,
        recording_status_callback_event="completed absent",
    )
    response.hangup()
    return _write(response)


def empty() -> str:
    return str(VoiceResponse())
