from __future__ import annotations

from typing import Any

import pytest

from agents.llm.anthropic import AnthropicModel
from agents.llm.base import ModelRequest, ToolOffer, Turn
from agents.llm.openai import OpenAiModel
from sandbox.models.account import ModelAccount

WEATHER = ToolOffer("weather", "The weather.", {"type": "object", "properties": {"city": {"type": "string"}}})


@pytest.fixture
def account(providers: Any) -> ModelAccount:
    return providers.models  # type: ignore[no-any-return]


@pytest.fixture(params=["openai", "anthropic"])
def model(request: pytest.FixtureRequest, providers: Any) -> Any:
    """Each adapter, at its stand-in."""
    if request.param == "openai":
        return OpenAiModel(api_key=providers.models.api_key, base_url=f"{providers.url}/v1")
    return AnthropicModel(api_key=providers.models.api_key, base_url=providers.url)


def ask(text: str = "Hello", *, turns: tuple[Turn, ...] = (), **values: Any) -> ModelRequest:
    fields = {"model": "sandbox-small", "system": "You are Robin. We open at nine.", "deadline_s": 5.0, **values}
    return ModelRequest(turns=(*turns, Turn("user", text)), **fields)
