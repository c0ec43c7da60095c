"""Keys are tried at the stand-ins, with right ones and wrong ones; and none is ever told."""

from __future__ import annotations

import pytest
from aiohttp import web

from thanos import diagnosis
from thanos.env import Environment
from thanos.keys import Trouble, trials, try_keys

KEYS = {
    "deepgram_api_key": "Deepgram",
    "openai_api_key": "OpenAI",
    "anthropic_api_key": "Anthropic",
    "sendgrid_api_key": "SendGrid",
    "stripe_secret_key": "Stripe",
}


@pytest.fixture
def env(providers, models, settings, monkeypatch):
    """Every provider that has a stand-in, with its right key."""
    monkeypatch.setattr(settings.ENV, "anthropic_api_key", providers.models.api_key)
    monkeypatch.setattr(settings.ENV, "anthropic_base_url", providers.url)
    return settings.ENV


def test_right_keys_are_not_mentioned(env):
    assert {trial.provider for trial in trials(env)} == set(KEYS.values())
    assert try_keys(env) == []


@pytest.mark.parametrize(("name", "provider"), KEYS.items())
def test_a_wrong_key_does_not_pass(env, alice, monkeypatch, name, provider):
    monkeypatch.setattr(env, name, "wr0ng-secret")

    assert [(trial.provider, trouble) for trial, trouble in try_keys(env)] == [(provider, Trouble.WRONG)]
    [finding] = [found for found in diagnosis.diagnose() if provider in found.text and "does not know" in found.text]
    assert name.upper() in finding.cure
    assert finding.stops_calls == (provider == "Deepgram")
    assert "wr0ng" not in finding.text + finding.cure


def test_a_provider_that_is_away_is_told_apart(env, providers):
    with providers.away():
        found = {(trial.provider, trouble) for trial, trouble in try_keys(env)}

    assert found == {(provider, Trouble.AWAY) for provider in KEYS.values()}


@pytest.mark.parametrize(
    ("status", "trouble"), [(200, None), (401, "wrong"), (403, "forbidden"), (404, None), (429, None), (500, "away")]
)
def test_what_an_answer_says_of_a_key(env, providers, monkeypatch, status, trouble):
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status)

    async def serve() -> tuple[web.AppRunner, int]:
        application = web.Application()
        application.router.add_get("/{rest:.*}", answer)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner, runner.addresses[0][1]

    runner, port = providers.do(serve())
    monkeypatch.setattr(env, "openai_base_url", f"http://127.0.0.1:{port}/v1")

    found = try_keys(env)
    providers.do(runner.cleanup())

    assert [(trial.provider, str(one)) for trial, one in found] == ([("OpenAI", trouble)] if trouble else [])


@pytest.mark.parametrize(
    ("agent_url", "api_url", "asked"),
    [
        ("wss://agent.deepgram.com", "https://api.deepgram.com", "https://api.deepgram.com/v1/projects"),
        ("ws://127.0.0.1:9", "https://api.deepgram.com", "http://127.0.0.1:9/v1/projects"),
        ("wss://agent.example/", "https://api.deepgram.com", "https://agent.example/v1/projects"),
        ("ws://127.0.0.1:9", "https://api.example/", "https://api.example/v1/projects"),
    ],
)
def test_whoever_stands_in_for_the_voice_agent_is_asked_about_its_key(agent_url, api_url, asked):
    made = Environment.model_construct(
        deepgram_api_key="k", deepgram_agent_url=agent_url, deepgram_api_url=api_url, use_voice_agent=True
    )

    assert [trial.url for trial in trials(made)] == [asked]


def test_keys_are_not_in_what_is_printed(env):
    printed = repr(list(trials(env)))

    assert not any(getattr(env, name) in printed for name in KEYS)
