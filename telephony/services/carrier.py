"""The configured carrier account."""

from __future__ import annotations

from functools import lru_cache

from django.conf import settings

from telephony.services.urls import webhook_url
from telephony.twilio.client import NumberWebhooks, TwilioClient
from telephony.twilio.signature import Signatures


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
