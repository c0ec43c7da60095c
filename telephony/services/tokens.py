"""One-use tokens that let one media socket into one call.

A token is `schema.secret`; only its hash is stored, on the call. Spending it is one conditional update, so of two
sockets that show the same token, one gets in.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from django.db.models import F
from django.utils import timezone

from telephony.enums import OPEN_STATUSES, CallStatus
from telephony.models import Call

LIFETIME = timedelta(seconds=120)
PARAMETER = "call_token"


class TokenError(PermissionError):
    """The token is missing, spent, expired, or for another call."""


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def issue_token(call: Call, schema: str) -> str:
    """Set a fresh token on an unsaved or saved call and return it; saving is the caller's business."""
    token = f"{schema}.{secrets.token_urlsafe(32)}"
    call.token_hash = _hash(token)
    call.token_expires_at = timezone.now() + LIFETIME
    return token


def schema_of(token: str) -> str:
    """Raises TokenError."""
    schema, _, secret = token.partition(".")
    if not (schema and secret):
        raise TokenError("malformed")
    return schema


def spend_token(*, token: str, call_sid: str, stream_sid: str) -> Call:
    """Let a socket into its call and mark the call answered. Must run inside the token's tenant. Raises TokenError."""
    now = timezone.now()
    spent = Call.objects.filter(
        call_sid=call_sid,
        token_hash=_hash(token),
        token_expires_at__gt=now,
        status__in=OPEN_STATUSES,
    ).update(
        token_hash="",
        status=CallStatus.IN_PROGRESS,
        stream_count=F("stream_count") + 1,
        stream_sid=stream_sid,
        stream_ended_at=None,
        next_step="",
        closing_reason="",
    )
    if not spent:
        raise TokenError("not valid for this call")
    call: Call = Call.objects.select_related("line").get(call_sid=call_sid)
    if call.answered_at is None:
        call.answered_at = now
        call.save(update_fields=["answered_at"])
    return call
