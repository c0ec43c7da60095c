"""Page sockets: the host gives the tenant, the session the person, the membership the right. Anything else is closed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from channels.auth import AuthMiddlewareStack
from channels.db import database_sync_to_async

from tenants.context import entered, in_public
from tenants.middleware import host_name
from tenants.models import Domain, Membership

App = Callable[[Any, Any, Any], Awaitable[None]]

FORBIDDEN = 4403


class MemberSocket:
    """Wraps page sockets: sets `scope["tenant"]` and `scope["membership"]`, and runs the socket inside the tenant."""

    def __init__(self, inner: App) -> None:
        self._inner = inner
        self._authenticated: App = AuthMiddlewareStack(self._admit)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        origin = headers.get(b"origin", b"").decode("latin-1")
        if urlsplit(origin).netloc != host:  # a page of another site must not ride on the visitor's cookie
            await send({"type": "websocket.close", "code": FORBIDDEN})
            return
        await self._authenticated({**scope, "host": host_name(host)}, receive, send)

    async def _admit(self, scope: Any, receive: Any, send: Any) -> None:
        membership = await database_sync_to_async(_membership)(scope["host"], scope["user"])
        if membership is None:
            await send({"type": "websocket.close", "code": FORBIDDEN})
            return
        with entered(membership.tenant):
            await self._inner({**scope, "tenant": membership.tenant, "membership": membership}, receive, send)


def _membership(host: str, user: Any) -> Membership | None:
    with in_public():
        domain = Domain.objects.select_related("tenant").filter(domain=host).first()
        if domain is None or not domain.tenant.is_active or not user.is_authenticated:
            return None
        memberships = Membership.objects.select_related("tenant", "user")
        return memberships.filter(tenant=domain.tenant, user_id=user.pk, user__is_active=True).first()
