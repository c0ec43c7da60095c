"""API tokens: making them, showing them once, taking them back, and finding what one stands for."""

from __future__ import annotations

import hashlib
import secrets
import string
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from tenants.audit import record
from tenants.enums import AuditAction, Scope
from tenants.models import ApiToken, Membership, Tenant

MARK = "tht_"  # how scanners for leaked secrets recognise one
SECRET_LENGTH = 43  # of 62 different characters: 256 bits
SHOWN_LENGTH = len(MARK) + 6
MAX_TOKENS = 200  # in use at a time, per organisation
USE_IS_NOTED_EVERY = timedelta(minutes=1)

_ALPHABET = string.ascii_letters + string.digits


class TokenError(ValueError):
    """The token cannot be made; the text is for the person who asked."""


def hash_token(text: str) -> str:
    """A plain digest will do: 256 random bits can neither be guessed nor looked up."""
    return hashlib.sha256(text.encode()).hexdigest()


@transaction.atomic
def create_token(
    *,
    tenant: Tenant,
    name: str,
    scopes: Iterable[str],
    actor: Membership,
    expires_at: datetime | None = None,
    ip_address: str | None = None,
) -> tuple[ApiToken, str]:
    """Make a token and return it with its text, which is stored nowhere and cannot be shown again.

    Raises TokenError for a blank name, no scope or one that does not exist, an end in the past, and one too many.
    """
    name, wanted = name.strip(), set(scopes)
    if not name:
        raise TokenError("Give the token a name, so that you know it again.")
    if not wanted or not wanted <= set(Scope.values):
        raise TokenError("Choose what the token may do.")
    if expires_at is not None and expires_at <= timezone.now():
        raise TokenError("The token would have expired already.")
    if not actor.can_manage or actor.tenant_id != tenant.pk:
        raise TokenError("Only owners and admins can make tokens.")
    if working_tokens(tenant).count() >= MAX_TOKENS:
        raise TokenError(f"There are {MAX_TOKENS} tokens in use: revoke one that is no longer needed.")
    text = MARK + "".join(secrets.choice(_ALPHABET) for _ in range(SECRET_LENGTH))
    token = ApiToken.objects.create(
        tenant=tenant,
        name=name,
        prefix=text[:SHOWN_LENGTH],
        token_hash=hash_token(text),
        scopes=[scope for scope in Scope.values if scope in wanted],
        created_by=actor.user,
        expires_at=expires_at,
    )
    record(AuditAction.TOKEN_CREATED, tenant=tenant, actor=actor.user, target=_target(token), ip_address=ip_address)
    return token, text


@transaction.atomic
def revoke_token(*, token: ApiToken, actor: Membership, ip_address: str | None = None) -> bool:
    """Make a token worthless from its next request on; return whether it was not so before."""
    changed = ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now())
    if changed:
        record(
            AuditAction.TOKEN_REVOKED, tenant=token.tenant, actor=actor.user, target=_target(token), ip_address=ip_address
        )
    return bool(changed)


def _target(token: ApiToken) -> str:
    return f"token {token.pk} {token.prefix}… {token.name}"[:200]


def working_tokens(tenant: Tenant) -> QuerySet[ApiToken]:
    return ApiToken.objects.filter(_not_expired(timezone.now()), tenant=tenant, revoked_at=None)


def find_token(*, tenant: Tenant, text: str) -> tuple[ApiToken, Membership] | None:
    """Return the token with what its maker is here now, or None when it does not work here, for whatever reason."""
    found = ApiToken.objects.select_related("created_by")
    token = found.filter(_not_expired(timezone.now()), tenant=tenant, token_hash=hash_token(text), revoked_at=None).first()
    if token is None or token.created_by is None or not token.created_by.is_active or not tenant.is_active:
        return None
    maker = Membership.objects.select_related("user").filter(tenant=tenant, user=token.created_by).first()
    return (token, maker) if maker is not None and maker.can_manage else None


def _not_expired(now: datetime) -> Q:
    return Q(expires_at=None) | Q(expires_at__gt=now)


def note_use(*, token: ApiToken) -> None:
    """Remember when a token was last used, to the minute: most requests write nothing."""
    now = timezone.now()
    if token.last_used_at is not None and token.last_used_at > now - USE_IS_NOTED_EVERY:
        return
    stale = Q(last_used_at=None) | Q(last_used_at__lte=now - USE_IS_NOTED_EVERY)
    ApiToken.objects.filter(stale, pk=token.pk).update(last_used_at=now)
