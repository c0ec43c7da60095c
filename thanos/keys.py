"""Every key that is configured is tried at its provider: one cheap question each, all at once, five seconds at most."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum

import requests

from thanos.env import Environment

TIMEOUT_S = 5.0


class Trouble(StrEnum):
    WRONG = "wrong"  # the provider does not know the key
    FORBIDDEN = "forbidden"  # it knows it, and does not let it do this
    AWAY = "away"  # nobody answers, or only to say that they cannot


@dataclass(frozen=True, slots=True)
class Trial:
    provider: str
    variables: str  # that hold the key, as people know them
    address_variable: str
    url: str
    headers: dict[str, str] = field(repr=False)
    is_vital: bool = False  # without it no call can be answered


def trials(env: Environment) -> Iterator[Trial]:
    """Yield what is asked with each key. The carrier's is tried by the carrier's own client."""
    if env.deepgram_api_key:
        url = f"{_deepgram_url(env)}/v1/projects"
        header = {"Authorization": f"Token {env.deepgram_api_key}"}
        yield Trial("Deepgram", "DEEPGRAM_API_KEY", "DEEPGRAM_API_URL", url, header, is_vital=env.use_voice_agent)
    if env.openai_api_key or env.openai_base_url:
        url = f"{(env.openai_base_url or 'https://api.openai.com/v1').rstrip('/')}/models"
        header = {"Authorization": f"Bearer {env.openai_api_key}"} if env.openai_api_key else {}
        yield Trial("OpenAI", "OPENAI_API_KEY", "OPENAI_BASE_URL", url, header)
    if env.anthropic_api_key:
        url = f"{(env.anthropic_base_url or 'https://api.anthropic.com').rstrip('/').removesuffix('/v1')}/v1/models"
        header = {"Authorization": f"Bearer {env.anthropic_api_key}", "anthropic-version": "2026-10-21"}
        yield Trial("Anthropic", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", url, header)
    if env.elevenlabs_api_key:
        url = f"{(env.elevenlabs_base_url or 'https://api.elevenlabs.io').rstrip('/')}/v1/models"
        yield Trial("ElevenLabs", "ELEVENLABS_API_KEY", "ELEVENLABS_BASE_URL", url, {"xi-api-key": env.elevenlabs_api_key})
    if env.sendgrid_api_key:
        url = f"{(env.sendgrid_api_url or 'https://api.sendgrid.com').rstrip('/').removesuffix('/v3')}/v3/scopes"
        header = {"Authorization": f"Bearer {env.sendgrid_api_key}"}
        yield Trial("SendGrid", "SENDGRID_API_KEY", "SENDGRID_API_URL", url, header)
    if env.stripe_secret_key:
        url = f"{(env.stripe_api_url or 'https://api.stripe.com').rstrip('/')}/v1/customers?limit=1"
        header = {"Authorization": f"Bearer {env.stripe_secret_key}"}
        yield Trial("Stripe", "STRIPE_SECRET_KEY", "STRIPE_API_URL", url, header)


def _deepgram_url(env: Environment) -> str:
    """Whoever puts another in the voice agent's place has it answer for the rest as well, unless they say otherwise."""
    fields = Environment.model_fields
    if env.deepgram_api_url == fields["deepgram_api_url"].default:
        if env.deepgram_agent_url != fields["deepgram_agent_url"].default:
            return "http" + env.deepgram_agent_url.rstrip("/").removeprefix("ws")
    return env.deepgram_api_url.rstrip("/")


def try_keys(env: Environment) -> list[tuple[Trial, Trouble]]:
    """Return the keys that do not work, and how. Waits for others: nothing of the database may be held meanwhile."""
    asked = list(trials(env))
    if not asked:
        return []
    with ThreadPoolExecutor(len(asked), thread_name_prefix="key") as threads:
        found = threads.map(_try, asked)
    return [(trial, trouble) for trial, trouble in zip(asked, found, strict=True) if trouble is not None]


def _try(trial: Trial) -> Trouble | None:
    """Return None where the key works, and where an answer says nothing about it: others' servers need not have this."""
    try:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(trial.url, headers=trial.headers, timeout=TIMEOUT_S, allow_redirects=False, stream=True)
            answer.close()
    except (requests.RequestException, ValueError, OSError):
        return Trouble.AWAY
    match answer.status_code:
        case 401:
            return Trouble.WRONG
        case 403:
            return Trouble.FORBIDDEN
        case status if status >= 500:
            return Trouble.AWAY
    return None


def describe(trial: Trial, trouble: Trouble) -> tuple[str, str]:
    """Return what is wrong, and the step that cures it. Keys are in neither."""
    match trouble:
        case Trouble.WRONG:
            return f"{trial.provider} does not know the key.", f"Check {trial.variables}: copy it again from your account."
        case Trouble.FORBIDDEN:
            return (
                f"{trial.provider} knows the key, and does not give it the rights it needs.",
                f"Give {trial.variables} more rights in your account there.",
            )
        case Trouble.AWAY:
            return (
                f"{trial.provider} cannot be reached.",
                f"Check this machine's way to the internet, and {trial.address_variable}.",
            )
