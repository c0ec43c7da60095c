"""`Authorization: Bearer …` of the API: `tht_…` is a program's token, anything else a person's JWT."""

from __future__ import annotations

from typing import Any

from django.utils.crypto import constant_time_compare
from drf_spectacular.contrib.rest_framework_simplejwt import SimpleJWTScheme
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.tokens import RefreshToken, Token

from tenants.models import ApiToken, Membership, Tenant, User
from tenants.permissions import remember_membership
from tenants.services.tokens import MARK, find_token, note_use


class ApiTokenAuthentication(BaseAuthentication):
    """Makes the request the token's maker's, and `request.auth` the token, whose scopes `IsMember` asks for."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        scheme, _, text = get_authorization_header(request).partition(b" ")
        text = text.strip()
        if scheme.lower() != b"bearer" or not text.startswith(MARK.encode()):
            return None
        tenant = getattr(request, "tenant", None)
        found = find_token(tenant=tenant, text=text.decode("latin-1")) if tenant is not None else None
        if found is None:
            # The same words for one that is made up, revoked, expired, orphaned or another organisation's.
            raise AuthenticationFailed("This token does not work here.")
        token, membership = found
        note_use(token=token)
        remember_membership(request, membership)
        return membership.user, token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


PROOF = "proof"  # the claim that ends a JWT with the password, the role or the membership it was made under


def tokens_for(membership: Membership) -> RefreshToken:
    """Return a refresh token, with its `access_token`, for a person in one organisation."""
    refresh = RefreshToken.for_user(membership.user)
    refresh[PROOF] = membership.sign_in_proof
    return refresh


def membership_behind(token: Token, *, tenant: Tenant | None, user_id: int | str) -> Membership | None:
    """Return what the bearer of a JWT is in this organisation, None for a stranger.

    Raises AuthenticationFailed when the token has ended, or was made for another organisation.
    """
    memberships = Membership.objects.select_related("user")
    membership = memberships.filter(tenant=tenant, user_id=user_id).first() if tenant is not None else None
    if membership is not None and not constant_time_compare(str(token.get(PROOF, "")), membership.sign_in_proof):
        raise AuthenticationFailed("This token has ended. Sign in again.", code="token_ended")
    return membership


class SignInAuthentication(JWTAuthentication):  # type: ignore[misc]
    """JWTs that end with the password, with the role, and when somebody signs out everywhere."""

    def authenticate(self, request: Request) -> tuple[Any, Token] | None:
        found = super().authenticate(request)
        if found is not None:
            user, token = found
            membership = membership_behind(token, tenant=getattr(request, "tenant", None), user_id=user.pk)
            if membership is not None:
                remember_membership(request, membership)
        return found


class SignInScheme(SimpleJWTScheme):  # type: ignore[misc, no-untyped-call]
    target_class = SignInAuthentication  # type: ignore[assignment]


class ApiTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[misc, no-untyped-call]
    target_class = ApiTokenAuthentication
    name = "apiToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        text = "A token made under Settings, limited to its scopes. Each operation names the one it needs."
        return {"type": "http", "scheme": "bearer", "bearerFormat": f"{MARK}…", "description": text}
