"""Signing requests as the carrier does."""

from __future__ import annotations

from twilio.request_validator import RequestValidator

SHARED_KEY_SETTINGS = "X-Twilio-Webhooks-Signature-Settings"


def sign(auth_token: str, url: str, form: dict[str, str]) -> dict[str, str]:
    """Return the headers of a classic signature."""
    return {"X-Twilio-Signature": RequestValidator(auth_token).compute_signature(url, form)}


def sign_shared(key: str, secret: str, url: str, form: dict[str, str]) -> dict[str, str]:
    """Return the headers of a shared-key signature (HMAC-SHA256)."""
    signature = RequestValidator(secret).compute_signature(url, form, "HMAC_SHA256")
    return {"X-Twilio-Signature": signature, SHARED_KEY_SETTINGS: f"key={key},algorithm=HMAC_SHA256"}
