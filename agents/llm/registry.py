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


def _openai() -> LanguageModel:
    return OpenAiModel(api_key=settings.ENV.openai_api_key, base_url=settings.ENV.openai_base_url)


def _anthropic() -> LanguageModel:
    return AnthropicModel(api_key=settings.ENV.anthropic_api_key, base_url=settings.ENV.anthropic_base_url)


_MODELS: dict[str, Callable[..., LanguageModel]] = {"openai": OpenAiModel, "anthropic": AnthropicModel}
_FACTORIES: dict[str, Callable[[], LanguageModel]] = {"openai": _openai, "anthropic": _anthropic}
PROVIDERS = tuple(_FACTORIES)


def is_configured(provider: str) -> bool:
    """A key, or an address of a server that may ask for none."""
    env = settings.ENV
    values = {
        "openai": (env.openai_api_key, env.openai_base_url),
        "anthropic": (env.anthropic_api_key, env.anthropic_base_url),
    }
    return any(values.get(provider, ()))


def configured_providers() -> list[str]:
    return [name for name in PROVIDERS if is_configured(name)]


def load_sdks() -> None:
    """Import the SDKs of the configured providers, and have each work out what a request is made of.

    That takes a second at the first request, in which a loop that carries audio would carry none. The request made here
    goes to an address where nobody listens.
    """
    for name in configured_providers():
        asyncio.run(_go_nowhere(_MODELS[name](api_key="none", base_url=NOWHERE)))


async def _go_nowhere(model: LanguageModel) -> None:
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
    return _FACTORIES[provider]()


def breaker_of(provider: str) -> Breaker:
    return Breaker(provider, async_client())
