"""The configured carrier account."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from django.conf import settings
from django.utils import timezone
from redis.exceptions import RedisError

from telephony.services.urls import webhook_url
from telephony.twilio.client import NumberWebhooks, TwilioClient
from telephony.twilio.errors import TelephonyError
from telephony.twilio.signature import Signatures
from thanos.redis import sync_client

_OUTAGE = "thanos:carrier-outage"
_OUTAGE_LAPSES_S = 15 * 60


@dataclass(frozen=True, slots=True)
class Outage:
    """The carrier's REST API does not tell us how calls ended."""

    since: datetime
    count: int
    status: int | None  # of HTTP; None: no answer at all


@lru_cache(maxsize=4)
def _client(account_sid: str, auth_token: str, base_url: str) -> TwilioClient:
    return TwilioClient(account_sid=account_sid, auth_token=auth_token, base_url=base_url)


def carrier() -> TwilioClient:
    """Raises NotConfiguredError."""
    env = settings.ENV
    return _client(env.twilio_account_sid, env.twilio_auth_token, env.twilio_api_url)


def signatures() -> Signatures:
    env = settings.ENV
    shared = dict(pair.split(":", 1) for pair in env.twilio_shared_keys if ":" in pair)
    return Signatures(env.twilio_auth_token, shared, env.twilio_require_shared_key)


def number_webhooks() -> NumberWebhooks:
    """The addresses a number is pointed at; the fallback says a sentence when the first one fails."""
    return NumberWebhooks(
        voice_url=webhook_url("incoming-call"),
        fallback_url=webhook_url("call-continue"),
        status_url=webhook_url("call-status"),
        sms_url=webhook_url("incoming-sms"),
    )


def note_outage(error: TelephonyError) -> None:
    """Remember that the carrier could not be asked, for `doctor` and the metrics. Best effort."""
    try:
        with sync_client().pipeline(transaction=False) as pipe:
            pipe.hsetnx(_OUTAGE, "since", str(timezone.now().timestamp()))
            pipe.hincrby(_OUTAGE, "count", 1)
            pipe.hset(_OUTAGE, "status", str(error.status or ""))
            pipe.expire(_OUTAGE, _OUTAGE_LAPSES_S)
            pipe.execute()
    except RedisError:
        return


def note_answer() -> None:
    try:
        sync_client().delete(_OUTAGE)
    except RedisError:
        return


def outage() -> Outage | None:
    """Return since when the carrier cannot be asked; None while it can, or while that cannot be known."""
    try:
        found = {name.decode(): value.decode() for name, value in sync_client().hgetall(_OUTAGE).items()}  # type: ignore[union-attr]
    except RedisError:
        return None
    if "since" not in found or "count" not in found:
        return None
    since = datetime.fromtimestamp(float(found["since"]), UTC)
    return Outage(since, int(found["count"]), int(found["status"]) if found.get("status") else None)
