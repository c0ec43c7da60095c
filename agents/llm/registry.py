"""Which providers of language models this installation has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from django.conf import settings

from agents.llm.anthropic import AnthropicModel
from agents.llm.base import ErrorCode, LanguageModel, LlmError, ModelRequest, Turn
from agents.llm.breaker import Breaker
from agents.llm.closing import close_clients
from agents.llm.openai import OpenAiModel
from thanos.redis import async_client

NOWHERE = "http://127.0.0.1:9"


_MODELS: dict[str, Callable[..., LanguageModel]] = {"openai": OpenAiModel, "anthropic": AnthropicModel}
PROVIDERS = tuple(_MODELS)


def _access(provider: str) -> dict[str, str]:
    """Return a provider's key and address as they are set; empty for a provider that is unknown."""
    env = settings.ENV
    return {
        "openai": {"api_key": env.openai_api_key, "base_url": env.openai_base_url},
        "anthropic": {"api_key": env.anthropic_api_key, "base_url": env.anthropic_base_url},
    }.get(provider, {})


def is_configured(provider: str) -> bool:
    """Tell whether there is a key, or the address of a server that may ask for none."""
    return any(_access(provider).values())


def configured_providers() -> list[str]:
    return [name for name in PROVIDERS if is_configured(name)]


def load_sdks() -> None:
    """Import the SDKs of the configured providers and make each build a first request; takes about a second.

    Call it in a thread: an SDK does this work at its first request, and a loop that carries audio would stand still. The
    request has no key and goes to a closed port of this machine.
    """
    for name in configured_providers():
        asyncio.run(_ask_nobody(_MODELS[name](api_key="none", base_url=NOWHERE)))


async def _ask_nobody(model: LanguageModel) -> None:
    request = ModelRequest("none", "", (Turn("user", "Hello"),), deadline_s=1.0)
    try:
        with suppress(LlmError):
            async for _ in model.stream(request):
                pass
    finally:
        await close_clients()


def choose_model(provider: str, model: str) -> tuple[str, str]:
    """Return who is asked with which model; empty ones are the installation's.

    Raises LlmError when nobody is configured, or not the provider that is wanted.
    """
    env = settings.ENV
    chosen = provider or env.agents_provider or next(iter(configured_providers()), "")
    if not is_configured(chosen):
        raise LlmError(ErrorCode.NOT_CONFIGURED)
    return chosen, model or {"openai": env.openai_model, "anthropic": env.anthropic_model}[chosen]


def make_model(provider: str) -> LanguageModel:
    """Raises LlmError for a provider that is unknown, or has neither key nor address."""
    if not is_configured(provider):
        raise LlmError(ErrorCode.NOT_CONFIGURED)
    return _MODELS[provider](**_access(provider))


def breaker_of(provider: str) -> Breaker:
    return Breaker(provider, async_client())
