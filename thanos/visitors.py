"""Is the sender of a request somebody? Asked before a large body is read, of nothing but the request's head.

Whether they may do what they want to is for the view. This keeps strangers from filling disks.
"""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from typing import Any

from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.db import DatabaseError, InterfaceError
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken

from tenants.authentication import PROOF
from tenants.context import in_public
from tenants.middleware import host_name
from tenants.models import Domain
from tenants.services.tokens import MARK, find_token


async def is_known(scope: dict[str, Any]) -> bool:
    """Is there a session of somebody signed in, or a token that this installation has made?"""
    headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
    scheme, _, token = headers.get(b"authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() == "bearer" and token and not token.startswith(MARK):
        return _is_jwt(token)
    try:
        key = SimpleCookie(headers.get(b"cookie", "")).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        key = None
    try:
        look = database_sync_to_async(_has_row, thread_sensitive=False)
        shown = token if scheme.lower() == "bearer" else ""
        return bool(await look(headers.get(b"host", ""), shown, key.value if key else ""))
    except (DatabaseError, InterfaceError):
        return False


def _is_jwt(token: str) -> bool:
    try:
        return bool(AccessToken(token).get(PROOF))  # type: ignore[arg-type]
    except TokenError:
        return False


def _has_row(host: str, token: str, session_key: str) -> bool:
    with in_public():
        if token:
            domain = Domain.objects.select_related("tenant").filter(domain=host_name(host)).first()
            return domain is not None and find_token(tenant=domain.tenant, text=token) is not None
        if not session_key:
            return False
        found = SessionStore(session_key).load()
        return bool(found.get(SESSION_KEY) and found.get(HASH_SESSION_KEY))
