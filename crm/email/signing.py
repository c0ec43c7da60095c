"""Is a request really the provider's? Source: SendGrid's "Event Webhook security features", read 2026-11-20.

The signature is ECDSA (P-256, SHA-256) over the timestamp's header followed by the body as it came, byte for byte: in
practice that ends with CR LF, and a body that was parsed and written again does not fit. What comes in by Inbound Parse
is not signed; its address holds a secret instead.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings
from django.utils.crypto import salted_hmac

SIGNATURE_HEADER = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP_HEADER = "X-Twilio-Email-Event-Webhook-Timestamp"
# The provider repeats for a day what was not taken, perhaps with the signature of the first time.
OLDEST_S = 25 * 3600
NEWEST_S = 600  # its clock and ours
_INBOUND_SALT = "crm_email.inbound"


class KeyFormatError(ValueError):
    """The text is not a public key as the provider shows it."""


@lru_cache(maxsize=8)
def read_key(text: str) -> ec.EllipticCurvePublicKey:
    """Return a public key from its base64 DER form. Raises KeyFormatError."""
    try:
        key = serialization.load_der_public_key(base64.b64decode(text, validate=True))
    except (ValueError, UnsupportedAlgorithm):
        raise KeyFormatError("not a public key in base64") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise KeyFormatError("not a key of the curve P-256")
    return key


def is_signed(*, keys: Sequence[str] | str, timestamp: str, body: bytes, signature: str) -> bool:
    """Tell whether one of the keys has signed these bytes at this time. What is missing or malformed never fits."""
    keys = [keys] if isinstance(keys, str) else keys
    if not timestamp or not signature:
        return False
    try:
        raw = base64.b64decode(signature, validate=True)
        signed = timestamp.encode("ascii") + body
    except (binascii.Error, ValueError):
        return False
    return any(_fits(text, raw, signed) for text in keys)


def _fits(text: str, signature: bytes, signed: bytes) -> bool:
    try:
        read_key(text).verify(signature, signed, ec.ECDSA(hashes.SHA256()))
    except (KeyFormatError, InvalidSignature, ValueError):
        return False
    return True


def is_timely(timestamp: str, *, now: float) -> bool:
    """Tell whether a signed timestamp is of a request that may still be on its way: a copy kept for longer is not."""
    return timestamp.isascii() and timestamp.isdigit() and -NEWEST_S <= now - int(timestamp[:15]) <= OLDEST_S


def inbound_secret() -> str:
    """Return what the address of Inbound Parse ends with: known to us and to whoever set it up at the provider."""
    return salted_hmac(_INBOUND_SALT, "address", algorithm="sha256").hexdigest()[:40]


def inbound_url() -> str:
    """Return the address to enter at the provider as Inbound Parse's destination."""
    return f"{settings.PUBLIC_URL}/api/webhooks/sendgrid/inbound/{inbound_secret()}"


def is_inbound_secret(secret: str) -> bool:
    return hmac.compare_digest(secret.encode(), inbound_secret().encode())
