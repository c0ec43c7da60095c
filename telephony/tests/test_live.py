"""The sockets of live pages: who may watch, and what they are shown."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from channels.layers import get_channel_layer
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore

from telephony import live
from telephony.models.calls import live_group
from telephony.tests.factories import make_call
from telephony.transcripts.entries import event_entry, heard_entry, latency_entry, message_entry
from telephony.workers import OpenSocket, Worker, reports
from tenants.context import entered
from tenants.models import Membership, Tenant
from thanos.asgi import page_sockets


def cookie_of(user: Any) -> bytes:
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return f"{settings.SESSION_COOKIE_NAME}={session.session_key}".encode()


class Watching(ApplicationCommunicator):
    """A page's socket, without a server."""

    async def connect(self) -> bool:
        await self.send_input({"type": "websocket.connect"})
        return (await self.receive_output(5))["type"] == "websocket.accept"

    async def receive_json(self) -> Any:
        return json.loads((await self.receive_output(5))["text"])

    async def disconnect(self) -> None:
        await self.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.wait(5)


def socket(call: Any, cookie: bytes = b"", host: bytes = b"alice.test", origin: bytes | None = None) -> Watching:
    headers = [(b"host", host), (b"origin", origin or b"https://" + host), (b"cookie", cookie)]
    scope = {
        "type": "websocket",
        "path": f"/ws/calls/{call.pk}/",
        "headers": headers,
        "query_string": b"",
        "subprotocols": [],
    }
    return Watching(page_sockets, scope)


@pytest.fixture
def call(alice):
    with entered(alice):
        return make_call()


@pytest.fixture
def cookies(owner, member, stranger):
    return {"owner": cookie_of(owner), "member": cookie_of(member), "stranger": cookie_of(stranger), "nobody": b""}


async def send(call, entry):
    message = {"type": "call.entry", "sequence": entry.sequence, "kind": entry.kind, "at": entry.at, "body": entry.body}
    await get_channel_layer().group_send(live_group(call.pk), message)


@pytest.mark.parametrize(
    ("who", "host", "origin"),
    [
        ("nobody", b"alice.test", None),
        ("stranger", b"alice.test", None),
        ("owner", b"bob.test", None),  # a cookie replayed on another tenant's host
        ("owner", b"unknown.test", None),
        ("owner", b"alice.test", b"https://evil.test"),
        ("stranger", b"bob.test", None),  # at home, but the call is Alice's
    ],
)
async def test_others_are_not_let_in(call, bob, cookies, who, host, origin):
    assert not await socket(call, cookies[who], host, origin).connect()


async def test_a_member_sees_what_is_said_and_nothing_whole_of_numbers(call, cookies, alice):
    watching = socket(call, cookies["member"])
    assert await watching.connect()

    await send(call, message_entry(alice.schema_name, str(call.pk), 7, "user", "Is <this> live?"))
    said = await watching.receive_json()
    await send(call, event_entry(alice.schema_name, str(call.pk), 8, live.EventKind.TRANSFER, {"to": "+15550999"}))
    event = await watching.receive_json()
    await send(call, latency_entry(alice.schema_name, str(call.pk), 7, {"total": 412}))
    latency = await watching.receive_json()
    await send(call, heard_entry(alice.schema_name, str(call.pk), 7, 0.5))
    heard = await watching.receive_json()
    await get_channel_layer().group_send(live_group(call.pk), {"type": "call.status"})
    status = await watching.receive_json()
    await watching.disconnect()

    assert (said["kind"], said["sequence"]) == ("message", 7)
    assert "Is &lt;this&gt; live?" in said["html"]
    assert "+1••••999" in event["html"]
    assert latency == {"kind": "latency", "sequence": 7, "total_ms": 412}
    assert heard == {"kind": "heard", "sequence": 7, "share": 0.5}
    assert status == {"kind": "status"}


@pytest.mark.parametrize("change", ["removed", "switched off"])
async def test_whoever_loses_the_right_is_shut_out(call, cookies, alice, member, monkeypatch, change):
    from asgiref.sync import sync_to_async

    monkeypatch.setattr(live, "RECHECK_S", -1.0)
    watching = socket(call, cookies["member"])
    assert await watching.connect()
    if change == "removed":
        await sync_to_async(Membership.objects.filter(user=member).delete)()
    else:
        await sync_to_async(Tenant.objects.filter(pk=alice.pk).update)(is_active=False)

    await send(call, message_entry(alice.schema_name, str(call.pk), 7, "user", "secret"))

    assert (await watching.receive_output())["type"] == "websocket.close"


async def test_a_worker_reports_its_sockets_and_takes_the_report_back():
    import asyncio

    worker = Worker()
    worker.start()
    worker.opened(1, OpenSocket("CA1", "t_a"))
    worker.opened(2, OpenSocket("CA2", "t_b"))
    worker.closed(2)
    await asyncio.sleep(0.4)
    known = reports()
    await worker.stop()

    assert [(report.name, report.sockets, report.is_draining) for report in known] == [
        (worker.name, (OpenSocket("CA1", "t_a"),), False)
    ]
    assert reports() == []
