"""What an authenticator on somebody's telephone would show."""

from __future__ import annotations

from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time


def code_for(secret: str) -> str:
    """Return the code of this half minute; by the time it is entered the next one may have begun."""
    before, now, after = yield_hotp_counters_from_time()
    assert before < now < after
    return str(format_hotp_value(hotp_value(secret, now)))
