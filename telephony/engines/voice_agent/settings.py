"""A conversation's `Settings` message: built as plain JSON, checked by the vendor's own typed model before it is sent."""

from __future__ import annotations

from typing import Any

from telephony.engines.base import EngineConfig, EngineError, ToolSpec

AUDIO = {
    "input": {"encoding": "mulaw", "sample_rate": 8000},
    "output": {"encoding": "mulaw", "sample_rate": 8000, "container": "none"},
}
MANAGED_PROMPT_LIMIT = 25_000  # characters; beyond it the provider cuts


def build_settings(config: EngineConfig) -> dict[str, Any]:
    """Return the `Settings` message. Raises EngineError (not retryable) when the vendor's model refuses it."""
    agent: dict[str, Any] = {
        "listen": {"provider": _listen(config)},
        "think": think_block(config),
        "speak": {"provider": _speak(config)},
    }
    if config.greeting:
        agent["greeting"] = config.greeting
    if config.history:
        agent["context"] = {
            "messages": [{"type": "History", "role": said.role, "content": said.text} for said in config.history]
        }
    settings: dict[str, Any] = {
        "type": "Settings",
        # Nothing a caller says is to be used for training, and History would only repeat ConversationText.
        "mip_opt_out": True,
        "flags": {"history": False},
        "audio": AUDIO,
        "agent": agent,
    }
    if config.tags:
        settings["tags"] = list(config.tags)
    _check(settings)
    return settings


def think_block(config: EngineConfig) -> dict[str, Any]:
    provider = {"type": config.think_provider, "model": config.think_model, "temperature": config.temperature}
    block: dict[str, Any] = {"provider": provider, "prompt": config.prompt[:MANAGED_PROMPT_LIMIT]}
    if config.tools:
        block["functions"] = [_function(tool) for tool in config.tools]
    return block


def _listen(config: EngineConfig) -> dict[str, Any]:
    model = config.listen_model
    if model.startswith("flux"):
        # Without the version a Flux model is read as a v1 one and refused; it also takes no smart_format.
        provider: dict[str, Any] = {"type": "deepgram", "version": "v2", "model": model}
        if model.endswith("multi"):
            provider["language_hints"] = [config.language.split("-")[0]]
        return provider
    return {"type": "deepgram", "version": "v1", "model": model, "language": config.language, "smart_format": True}


def _speak(config: EngineConfig) -> dict[str, Any]:
    provider: dict[str, Any] = {"type": "deepgram", "model": config.voice}
    if config.voice.startswith("flux"):
        provider["version"] = "v2"
    return provider


def _function(tool: ToolSpec) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    if tool.irreversible:
        function["defer_until_eot"] = True
    return function


def _check(settings: dict[str, Any]) -> None:
    from deepgram.agent.v1.types import AgentV1Settings  # 0.3 s and 40 MB: only where calls are carried
    from pydantic import ValidationError

    try:
        AgentV1Settings.model_validate(settings)
    except ValidationError as error:
        faults = "; ".join(".".join(map(str, fault["loc"])) for fault in error.errors(include_input=False))
        raise EngineError("INVALID_SETTINGS", retryable=False, description=faults) from None
