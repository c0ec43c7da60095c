"""Is a request really the carrier's? Source: Twilio's "Webhooks security" and "Webhook shared keys", read 2026-11-20.

The classic signature is base64(HMAC-SHA1(auth token, URL + sorted form fields)). An account with shared-key signing
sends a second header that names the key and HMAC-SHA256; the construction is the same. The URL is rebuilt from the
configured public address, because a TLS proxy in front of us changes scheme, host and port.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from twilio.request_validator import RequestValidator

SIGNATURE_HEADER = "X-Twilio-Signature"
SETTINGS_HEADER = "X-Twilio-Webhooks-Signature-Settings"


@dataclass(frozen=True, slots=True)
class Signatures:
    """Checks signatures with one account's secrets."""

    auth_token: str
    shared_keys: Mapping[str, str] = field(default_factory=dict)  # key id → secret
    require_shared_key: bool = False

    def is_valid(self, url: str, params: Any, signature: str | None, settings_header: str | None = None) -> bool:
        """Tell whether `signature` fits the exact public URL and all form fields. A missing one never does."""
        if not signature:
            return False
        if settings_header is not None:
            return self._is_valid_shared(url, params, signature, settings_header)
        if self.require_shared_key or not self.auth_token:
            return False  # a missing header must not downgrade to the weaker hash
        return bool(RequestValidator(self.auth_token).validate(url, params, signature))

    def _is_valid_shared(self, url: str, params: Any, signature: str, header: str) -> bool:
        settings = dict(part.strip().split("=", 1) for part in header.split(",") if "=" in part)
        secret = self.shared_keys.get(settings.get("key", ""))
        if not secret or settings.get("algorithm") != "HMAC_SHA256":
            return False
        return bool(RequestValidator(secret).validate(url, params, signature, "HMAC_SHA256"))

    def is_valid_stream(self, url: str, signature: str | None, settings_header: str | None = None) -> bool:
        """The handshake of a media stream is signed over its wss:// URL alone, with or without a closing slash."""
        candidates = (url.rstrip("/"), url.rstrip("/") + "/")
        return any(self.is_valid(candidate, {}, signature, settings_header) for candidate in candidates)
