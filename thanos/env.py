"""Every value the product takes from its environment: read once, typed, loud when wrong.

Precedence: the process environment, then `.env`, then the secrets generated on the first run under `STATE_DIR`.
"""

from __future__ import annotations

import os
import secrets
from functools import lru_cache
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

BASE_DIR = Path(__file__).resolve().parent.parent


class ConfigurationError(SystemExit):
    """Raised at start for a missing or malformed value; its text names the variable and the cure."""


class Environment(BaseSettings):
    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True, case_sensitive=False)

    state_dir: Path = Path(".local")
    port: int = Field(8000, ge=1, le=65535)
    secret_key: str = Field(min_length=32)
    debug: bool = False
    allowed_hosts: Annotated[list[str], NoDecode] = ["*"]
    database_url: str = ""
    database_pool_size: int = Field(0, ge=0)
    database_pool_timeout_s: float = Field(10.0, gt=0)  # how long somebody waits for a connection; web processes: 2
    database_statement_timeout_s: int = Field(0, ge=0)  # of one statement; 0: no limit; web processes: 60
    redis_url: str = ""
    public_base_url: str = ""
    # Proxies, or networks of them, whose X-Forwarded-For and X-Forwarded-Proto are believed.
    trusted_proxies: Annotated[list[str], NoDecode] = ["127.0.0.1", "::1"]
    # What monitoring sends as a bearer token; without one only the networks below may ask, from this machine by default.
    health_token: str = ""
    metrics_token: str = ""
    health_networks: Annotated[list[str], NoDecode] = ["127.0.0.0/8", "::1/128"]
    field_encryption_keys: Annotated[list[str], NoDecode] = Field(min_length=1)

    twilio_account_sid: str = ""
    twilio_auth_token: str = ""
    # Webhook signing with a shared key (HMAC-SHA256), while its provider calls it a beta: "key id:secret", comma-separated.
    twilio_shared_keys: Annotated[list[str], NoDecode] = []
    twilio_require_shared_key: bool = False
    twilio_api_url: str = "https://api.twilio.com"

    deepgram_api_key: str = ""
    deepgram_agent_url: str = "wss://agent.deepgram.com"
    deepgram_api_url: str = "https://api.deepgram.com"
    deepgram_project_id: str = ""  # whose own count of minutes is compared with the ledger; empty: it is not
    use_voice_agent: bool = True
    voice_agent_rollout_percentage: int = Field(100, ge=0, le=100)
    voice_agent_listening_model: str = "flux-general-en"
    voice_agent_thinking_model: str = "gpt-4.1-mini"
    voice_agent_speaking_model: str = "aura-2-thalia-en"

    openai_api_key: str = ""
    openai_base_url: str = ""
    openai_admin_key: str = ""  # for OpenAI's own count of tokens, compared with the ledger; empty: it is not
    summary_model: str = "gpt-4.1-mini"
    openai_model: str = "gpt-4.1-mini"  # of agents in chat and of specialists, unless their version names one
    embeddings_model: str = ""  # such as text-embedding-3-small; empty: a model on this machine; none: by words alone
    anthropic_api_key: str = ""
    anthropic_base_url: str = ""
    anthropic_model: str = "claude-haiku-5-5"
    agents_provider: str = ""  # openai or anthropic; empty: the first that is configured
    elevenlabs_api_key: str = ""
    elevenlabs_base_url: str = ""
    sendgrid_api_key: str = ""
    sendgrid_api_url: str = ""
    # What events are signed with; several, comma-separated, while one key takes the place of another.
    sendgrid_webhook_public_key: Annotated[list[str], NoDecode] = []
    # What a template prints for each recipient travels beside it, so that one request carries a thousand messages. The
    # provider's word on this without a template of its own is old: switched off, such messages go one by one.
    sendgrid_substitutions: bool = True
    inbound_email_host: str = ""  # whose mail the provider hands to us: answers to what was sent are read there
    # What the pages of recipients say where no organisation's own words can be found.
    email_language: str = "en"
    email_unknown_link_title: str = "This link does not lead anywhere"
    email_unknown_link_text: str = (
        "It may have been cut off on its way. Open the link in the e-mail once more, or answer the e-mail: whoever wrote it"
        " can help."
    )
    email_too_often_title: str = "One moment, please"
    email_too_often_text: str = "This was asked for very often just now. Try again in a minute."
    emails_per_minute: int = Field(6000, ge=1)  # of the whole installation; each organisation has its own limit below
    email_url: str = ""  # smtp://user:password@host:587?tls, or smtps://…
    smtp_from_email: str = "thanotopolis@localhost"
    smtp_from_name: str = "Thanotopolis"
    stripe_secret_key: str = ""
    stripe_api_url: str = ""
    # Several secrets, comma-separated, while one takes the place of another.
    stripe_webhook_secret: Annotated[list[str], NoDecode] = []
    # Where its checkout and its portal are: a form of ours may lead there. Others with a domain of one's own at Stripe.
    stripe_pages: Annotated[list[str], NoDecode] = ["https://checkout.stripe.com", "https://billing.stripe.com"]
    stripe_api_version: str = "2026-10-28.endive"
    billing_currency: str = Field("USD", pattern=r"^[A-Z]{3}$")  # of uses that no rate has given one
    drift_threshold_percent: int = Field(2, ge=0)  # by how much a provider's figure may differ from the ledger's
    google_client_id: str = ""
    google_client_secret: str = ""
    google_api_url: str = ""
    # Networks that outgoing webhooks may reach although they are not on the public internet, http included.
    webhook_allowed_networks: Annotated[list[str], NoDecode] = []

    # Background workers of `serve`: each takes 150 MB and a few seconds of a core to start.
    worker_processes: int = Field(3, ge=1, le=3)
    # How long a worker that was told to stop lets running calls finish.
    drain_timeout_s: float = Field(30.0, ge=0)
    max_concurrent_calls: int = Field(50, ge=1)
    # Providers played by the stand-ins of `sandbox/`, set by `serve`: shown on every page.
    sandboxed_providers: Annotated[list[str], NoDecode] = []
    sandbox_url: str = ""  # where they answer, set by `serve`; the outbox is there

    @field_validator(
        "allowed_hosts",
        "field_encryption_keys",
        "twilio_shared_keys",
        "sandboxed_providers",
        "webhook_allowed_networks",
        "trusted_proxies",
        "health_networks",
        "sendgrid_webhook_public_key",
        "stripe_webhook_secret",
        "stripe_pages",
        mode="before",
    )
    @classmethod
    def split_commas(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("field_encryption_keys")
    @classmethod
    def check_keys(cls, keys: list[str]) -> list[str]:
        for key in keys:
            Fernet(key)
        return keys

    @field_validator("webhook_allowed_networks", "trusted_proxies", "health_networks")
    @classmethod
    def check_networks(cls, networks: list[str]) -> list[str]:
        for network in networks:
            ip_network(network)
        return networks

    @field_validator("state_dir")
    @classmethod
    def make_absolute(cls, path: Path) -> Path:
        return path if path.is_absolute() else BASE_DIR / path

    @property
    def public_url(self) -> str:
        """Where the outside world reaches this installation, without a trailing slash."""
        return (self.public_base_url or f"http://127.0.0.1:{self.port}").rstrip("/")

    @property
    def media_url(self) -> str:
        """`public_url` as a WebSocket address: http becomes ws, https becomes wss."""
        return "ws" + self.public_url.removeprefix("http")

    @property
    def outbox_url(self) -> str:
        """Where every e-mail can be read while a stand-in takes them, or ""."""
        return f"{self.sandbox_url}/sandbox/mail" if "sendgrid" in self.sandboxed_providers else ""

    @property
    def public_host(self) -> str:
        return urlsplit(self.public_url).hostname or "127.0.0.1"


def secrets_file(state_dir: Path) -> Path:
    return state_dir / "secrets.env"


def running_file(state_dir: Path) -> Path:
    """What `serve` decided for the providers it has stand-ins for, so that other commands see the same while it runs."""
    return state_dir / "running.env"


def generate_secrets(state_dir: Path) -> Path:
    """Write the installation's secrets on the first run (mode 600) and return their file; later runs keep it."""
    path = secrets_file(state_dir)
    if path.exists():
        return path
    state_dir.mkdir(parents=True, exist_ok=True)
    lines = [f"SECRET_KEY={secrets.token_urlsafe(48)}", f"FIELD_ENCRYPTION_KEYS={Fernet.generate_key().decode()}"]
    draft = path.with_suffix(f".{os.getpid()}.new")
    draft.touch(mode=0o600)
    draft.write_text("\n".join(lines) + "\n")
    try:
        os.link(draft, path)  # fails when another process was quicker: its secrets are then the ones
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path


def state_dir_from_environment() -> Path:
    return Environment.make_absolute(Path(os.environ.get("STATE_DIR") or _from_dotenv("STATE_DIR") or ".local"))


def _from_dotenv(name: str) -> str | None:
    from dotenv import dotenv_values

    return dotenv_values(BASE_DIR / ".env").get(name)


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Return the validated environment. Raises ConfigurationError that lists every faulty variable."""
    state_dir = state_dir_from_environment()
    files = (running_file(state_dir), secrets_file(state_dir), BASE_DIR / ".env")
    try:
        return Environment(_env_file=files)  # type: ignore[call-arg]
    except ValidationError as error:
        faults = [f"  {'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors(include_input=False)]
        raise ConfigurationError("The configuration is not usable:\n" + "\n".join(faults)) from None
