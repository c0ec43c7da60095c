from __future__ import annotations

import re
from typing import Any

import pytest
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore

from tenants.authentication import tokens_for
from tenants.enums import Scope
from tenants.services.tokens import create_token
from thanos.bodies import DEFAULT, KB, MB, Limit, bounded, limit_of
from thanos.limits import BODY_LIMITS
from thanos.visitors import is_known

TEN = [Limit(re.compile("/"), 10, for_known_only=False)]


async def nobody(scope: Any) -> bool:
    return False


async def somebody(scope: Any) -> bool:
    return True


async def ask(
    headers: list[tuple[bytes, bytes]], *pieces: bytes, limits: list[Limit] = TEN, known: Any = nobody, path: str = "/"
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return what an application behind a limit of ten bytes was given, and what the client was sent."""
    waiting = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    given: list[dict[str, Any]] = []
    sent: list[dict[str, Any]] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        while waiting:
            given.append(await receive())
            if given[-1]["type"] == "http.disconnect":
                return

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await bounded(application, limits, known)({"type": "http", "path": path, "headers": headers}, receive, send)
    return given, sent


async def test_what_says_that_it_is_too_large_is_refused_unread():
    given, sent = await ask([(b"Content-Length", b"11")], b"x" * 11)

    assert given == []
    assert sent[0]["status"] == 413 and b"Nothing was changed" in sent[1]["body"]


async def test_what_does_not_say_how_large_it_is_breaks_off():
    given, sent = await ask([], b"x" * 6, b"x" * 6, b"x")

    assert [message["type"] for message in given] == ["http.request", "http.disconnect"]
    assert sent == []


@pytest.mark.parametrize("length", [b"10", b"", b"ten"])
async def test_what_fits_comes_through(length):
    given, sent = await ask([(b"content-length", length)], b"x" * 5, b"x" * 5)

    assert [message["body"] for message in given] == [b"x" * 5, b"x" * 5]
    assert sent == []


# --- by address -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/accounts/login/", DEFAULT),
        ("/api/v1/token/", DEFAULT),
        ("/api/v1/contacts/", DEFAULT),
        ("/", DEFAULT),
        ("/health", 64 * KB),
        ("/api/webhooks/incoming-call", 64 * KB),
        ("/api/webhooks/whatever-comes-next", 64 * KB),
        ("/api/webhooks/stripe", 2 * MB),
        ("/api/webhooks/stripe/abc", 2 * MB),
        ("/api/webhooks/sendgrid", 5 * MB),
        ("/api/webhooks/sendgrid/inbound/abc", 31 * MB),
        ("/crm/imports/new/", 201 * MB),
        ("/api/v1/imports/", 201 * MB),
        ("/crm/imports/7/columns/", DEFAULT),
        ("/agents/knowledge/new/file/", 21 * MB),
    ],
)
def test_each_address_takes_what_it_is_for(path, most):
    assert limit_of(BODY_LIMITS, path).most == most


def test_nobody_unknown_may_send_more_than_a_megabyte_but_the_providers():
    for limit in BODY_LIMITS:
        assert limit.for_known_only or limit.most <= DEFAULT or "webhooks" in limit.path.pattern


@pytest.mark.parametrize("path", ["/crm/imports/new/", "/api/v1/imports/", "/agents/knowledge/new/file/"])
async def test_a_large_file_is_taken_of_people_we_know(path):
    large = [(b"content-length", str(2 * MB).encode())]
    _, refused = await ask(large, b"x", limits=BODY_LIMITS, known=nobody, path=path)
    _, taken = await ask(large, b"x", limits=BODY_LIMITS, known=somebody, path=path)

    assert refused[0]["status"] == 413 and b"not signed in" in refused[1]["body"]
    assert taken == []


async def test_a_stranger_who_does_not_say_how_much_comes_is_cut_off_at_a_megabyte():
    pieced = [(b"transfer-encoding", b"chunked")]
    given, _ = await ask(pieced, b"x" * MB, b"x", limits=BODY_LIMITS, known=nobody, path="/crm/imports/new/")
    more, _ = await ask(pieced, b"x" * MB, b"x", limits=BODY_LIMITS, known=somebody, path="/crm/imports/new/")

    assert given[-1]["type"] == "http.disconnect"
    assert more[-1]["type"] == "http.request"


def scope_of(**headers: str) -> dict[str, Any]:
    return {"headers": [(name.encode(), value.encode()) for name, value in {"host": "alice.test", **headers}.items()]}


@pytest.fixture
def known(alice, owner, visit) -> list[dict[str, str]]:
    """Heads of requests by somebody we know: a session, a program's token, a person's."""
    membership = owner.memberships.get()
    _, token = create_token(
        tenant=alice, name="Form", scopes=[Scope.IMPORTS_WRITE], expires_at=None, actor=membership, ip_address=None
    )
    session = visit(owner).cookies[settings.SESSION_COOKIE_NAME].value
    return [
        {"cookie": f"{settings.SESSION_COOKIE_NAME}={session}"},
        {"authorization": f"Bearer {token}"},
        {"authorization": f"Bearer {tokens_for(membership).access_token}"},
    ]


async def test_who_is_known(known, one_connection):
    for headers in known:
        assert await is_known(scope_of(**headers))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"cookie": "sessionid=made-up"},
        {"cookie": 'sessionid="'},
        {"authorization": "Bearer tht_madeup"},
        {"authorization": "Bearer made.up.token"},
        {"authorization": "Bearer "},
        {"authorization": "Basic YTpi"},
        {"host": "nowhere.test", "authorization": "Bearer tht_madeup"},
    ],
)
async def test_who_is_not(alice, one_connection, headers):
    assert not await is_known(scope_of(**headers))


@pytest.fixture
def empty_session(db) -> str:
    session = SessionStore()
    session["seen"] = True
    session.save()
    return str(session.session_key)


async def test_a_session_without_anybody_signed_in_is_nobodys(empty_session, one_connection):
    assert not await is_known(scope_of(cookie=f"{settings.SESSION_COOKIE_NAME}={empty_session}"))
