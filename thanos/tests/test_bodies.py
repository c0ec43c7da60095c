from __future__ import annotations

from typing import Any

import pytest

from thanos.bodies import bounded


async def ask(headers: list[tuple[bytes, bytes]], *pieces: bytes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
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

    await bounded(application, 10)({"type": "http", "headers": headers}, receive, send)
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
