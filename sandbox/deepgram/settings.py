"""The vendor's rules for `Settings`: what it accepts, and the code it refuses the rest with."""

from __future__ import annotations

from typing import Any

from deepgram.agent.v1.types import AgentV1Settings
from pydantic import ValidationError

THINK_PROVIDERS = frozenset({"open_ai", "anthropic", "google", "groq", "aws_bedrock", "nvidia", "deepgram"})
NEED_ENDPOINT = frozenset({"groq", "aws_bedrock"})


def fault_in(settings: dict[str, Any]) -> str | None:
    """Return what is wrong with a Settings message, in words, or None."""
    try:
        AgentV1Settings.model_validate(settings)
    except ValidationError as error:
        return "; ".join(".".join(map(str, fault["loc"])) for fault in error.errors())
    audio, agent = settings.get("audio", {}), settings.get("agent", {})
    for side in ("input", "output"):
        if audio.get(side, {}).get("encoding") != "mulaw" or audio.get(side, {}).get("sample_rate") != 8000:
            return f"audio.{side}: this server speaks mulaw at 8000 Hz only"
    return _fault_in_agent(agent)


def _fault_in_agent(agent: dict[str, Any]) -> str | None:
    listen = agent.get("listen", {}).get("provider", {})
    if str(listen.get("model", "")).startswith("flux"):
        if listen.get("version") != "v2":
            return "agent.listen.provider: a flux model needs version v2"
        if "smart_format" in listen:
            return "agent.listen.provider: flux does not take smart_format"
    blocks = agent.get("think", {})
    for think in blocks if isinstance(blocks, list) else [blocks]:
        provider = think.get("provider", {})
        if provider.get("type") not in THINK_PROVIDERS or not provider.get("model"):
            return "agent.think.provider: type and model are required"
        if provider["type"] in NEED_ENDPOINT and not think.get("endpoint"):
            return f"agent.think: {provider['type']} needs an endpoint"
        if not 0 <= float(provider.get("temperature", 0)) <= 2:
            return "agent.think.provider.temperature: 0 to 2"
    return None
