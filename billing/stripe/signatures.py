"""Whether a webhook comes from Stripe: its own library decides, by any of the secrets that hold."""

from __future__ import annotations

from collections.abc import Iterable

TOLERANCE_S = 300


def is_signed(body: bytes, header: str | None, secrets: Iterable[str]) -> bool:
    import stripe

    for secret in secrets:
        try:
            stripe.WebhookSignature.verify_header(body.decode("utf-8"), header or "", secret, TOLERANCE_S)
        except (stripe.SignatureVerificationError, ValueError):
            continue
        return True
    return False
