"""Which engine carries a call, and how one is made."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress

from django.conf import settings

from telephony.engines.base import Engine, EngineConfig, EngineError, OnAudio, OnEvent
from telephony.enums import EngineName

Factory = Callable[[EngineConfig, OnAudio, OnEvent], Engine]


def _voice_agent(config: EngineConfig, on_audio: OnAudio, on_event: OnEvent) -> Engine:
    from telephony.engines.voice_agent.session import VoiceAgentSession

    env = settings.ENV
    return VoiceAgentSession(
        config=config, url=env.deepgram_agent_url, api_key=env.deepgram_api_key, on_audio=on_audio, on_event=on_event
    )


_FACTORIES: dict[str, Factory] = {EngineName.VOICE_AGENT: _voice_agent}
_SWITCHES: dict[str, Callable[[], bool]] = {
    EngineName.VOICE_AGENT: lambda: settings.ENV.use_voice_agent and bool(settings.ENV.deepgram_api_key),
}


def is_configured(name: str) -> bool:
    return name in _SWITCHES and _SWITCHES[name]()


def make_engine(name: str, config: EngineConfig, *, on_audio: OnAudio, on_event: OnEvent) -> Engine:
    return _FACTORIES[name](config, on_audio, on_event)


def warm_up() -> None:
    """Import the configured engine and check a session's settings once; takes 0.2 s, which the first call saves."""
    if not is_configured(EngineName.VOICE_AGENT):
        return
    from telephony.engines.voice_agent import session  # noqa: F401
    from telephony.engines.voice_agent.settings import build_settings

    with suppress(EngineError):
        build_settings(EngineConfig("", "", "en", "aura", "nova", "open_ai", "none", 0.0))


def choose_engine(wanted: str, call_sid: str) -> str:
    """Return the engine for a call: the line's, or for the share outside the rollout another one that is configured."""
    others = [name for name in _FACTORIES if name != wanted and is_configured(name)]
    if wanted == EngineName.VOICE_AGENT and others and share_of(call_sid) >= settings.ENV.voice_agent_rollout_percentage:
        return others[0]
    return wanted


def share_of(call_sid: str) -> int:
    """Return a number from 0 to 99 that depends on the call SID alone, so that a resumed call keeps its engine."""
    return int.from_bytes(hashlib.sha256(call_sid.encode()).digest()[:4]) % 100
