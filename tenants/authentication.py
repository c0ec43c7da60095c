"""`Authorization: Bearer tht_…`: the API for programs. Anything else under Bearer is left to the JWTs."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from tenants.models import ApiToken, User
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


class ApiTokenScheme(OpenApiAuthenticationExtension):  # type: ignore[misc, no-untyped-call]
    target_class = ApiTokenAuthentication
    name = "apiToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        text = "A token made under Settings, limited to its scopes. Each operation names the one it needs."
        return {"type": "http", "scheme": "bearer", "bearerFormat": f"{MARK}…", "description": text}
