"""How a delivery is signed, and how its receiver checks that. No I/O.

`Webhook-Signature: t=<seconds since 1970>,v1=<hex>[,v1=<hex>]`, each `v1` an HMAC-SHA256 over `<t>.<body>` keyed with
the secret as it was shown. After a secret is rolled there are two for a day, so that receivers can change over.
"""

from __future__ import annotations

import hashlib
import hmac
import inspect
import secrets
import time
from collections.abc import Sequence

SECRET_PREFIX = "whsec_"  # noqa: S105  (lets scanners of source code recognise a leaked one)


def new_secret() -> str:
    return SECRET_PREFIX + secrets.token_urlsafe(32)


def signature(*, keys: Sequence[str], timestamp: int, body: bytes) -> str:
    """Return the value of `Webhook-Signature`: the time, and one `v1` for each secret that is valid."""
    signed = f"{timestamp}.".encode() + body
    digests = [hmac.new(key.encode(), signed, hashlib.sha256).hexdigest() for key in keys]
    return ",".join([f"t={timestamp}", *(f"v1={digest}" for digest in digests)])


def verify(secret: str, header: str, body: bytes, tolerance_s: int = 300) -> bool:
    parts = [part.strip().partition("=")[::2] for part in header.split(",")]
    timestamp = dict(parts).get("t", "")
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > tolerance_s:
        return False  # malformed, or an old message that is being replayed
    expected = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return any(name == "v1" and hmac.compare_digest(value.encode(), expected.encode()) for name, value in parts)


# What the page shows to developers is the very function that our tests run.
VERIFICATION_SNIPPET = "import hashlib, hmac, time\n\n" + inspect.getsource(verify).strip()
