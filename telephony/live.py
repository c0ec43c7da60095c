"""The socket of a live call's page: every new entry as a piece of the page, rendered by the same templates."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.template.loader import render_to_string
from django.utils.dateparse import parse_datetime

from telephony.enums import EventKind, Role
from telephony.happenings import facts
from telephony.models import Call
from telephony.models.calls import live_group
from tenants.models import Membership

RECHECK_S = 5.0


class LiveCall(AsyncJsonWebsocketConsumer):  # type: ignore[misc]
    async def connect(self) -> None:
        self._checked_at = time.monotonic()
        self.call_id: UUID = self.scope["url_route"]["kwargs"]["call_id"]
        exists = await database_sync_to_async(Call.objects.filter(pk=self.call_id).exists)()
        if not exists:
            await self.close(4404)
            return
        await self.channel_layer.group_add(live_group(self.call_id), self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(live_group(self.call_id), self.channel_name)

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        """Nothing is taken from the page: controls are ordinary forms."""

    async def call_entry(self, message: dict[str, Any]) -> None:
        if not await self._may_still_watch():
            await self.close(4403)
            return
        if message["kind"] == "heard":
            share = message["body"]["share"]
            await self.send_json({"kind": "heard", "sequence": message["sequence"], "share": share})
            return
        if message["kind"] == "latency":
            total = message["body"]["values_ms"].get("total")
            await self.send_json({"kind": "latency", "sequence": message["sequence"], "total_ms": total})
            return
        context = {"tenant": self.scope["tenant"], "membership": self.scope["membership"]}
        html = render_entry(message, context)
        await self.send_json({"kind": message["kind"], "sequence": message["sequence"], "html": html})

    async def _may_still_watch(self) -> bool:
        """People are taken out and organisations switched off while pages are open: asked again every few seconds."""
        now = time.monotonic()
        if now - self._checked_at > RECHECK_S:
            self._checked_at = now
            membership = self.scope["membership"]
            alive = Membership.objects.filter(
                pk=membership.pk, role=membership.role, tenant__is_active=True, user__is_active=True
            )
            return bool(await database_sync_to_async(alive.exists)())
        return True

    async def call_status(self, message: dict[str, Any]) -> None:
        await self.send_json({"kind": "status"})


def render_entry(message: dict[str, Any], context: dict[str, Any]) -> str:
    """Return the page's markup for an entry that is on its way to the database."""
    body, at = message["body"], parse_datetime(message["at"])
    if message["kind"] == "message":
        role = Role(body["role"])
        said = SimpleNamespace(
            sequence=message["sequence"],
            role=role,
            get_role_display=role.label,
            text=body["text"],
            heard_text=body["text"],
            unheard_text="",
            spoken_at=at,
            latency=None,
        )
        return render_to_string("telephony/_message.html", {**context, "message": said})
    kind = EventKind(body["kind"])
    event = SimpleNamespace(
        sequence=message["sequence"], kind=kind, get_kind_display=kind.label, at=at, facts=facts(body["detail"])
    )
    return render_to_string("telephony/_event.html", {**context, "event": event})
