"""The process begins and ends in order, whatever its preparations come to."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from thanos import asgi


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the process did, in order; its worker and its watch are left out."""
    done: list[str] = []

    async def stop() -> None:
        done.append("stopped")

    monkeypatch.setattr(asgi.worker, "start", lambda: done.append("started"))
    monkeypatch.setattr(asgi.worker, "stop", stop)
    monkeypatch.setattr(asgi.watch, "start", lambda: None)
    monkeypatch.setattr(asgi, "set_aside", lambda **_: done.append("set aside"))
    return done


async def live(pause: asyncio.Event) -> list[str]:
    """Begin, wait, and end; return what the server was told."""
    asked = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    told: list[str] = []

    async def receive() -> dict[str, Any]:
        if len(asked) == 1:
            await pause.wait()
        return asked.pop(0)

    async def send(message: dict[str, Any]) -> None:
        told.append(message["type"])

    async with asyncio.timeout(10):
        await asgi.application({"type": "lifespan"}, receive, send)
    return told


WHOLE = ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_sdks_that_cannot_be_loaded_keep_nobody_from_ending_in_order(begun, monkeypatch, caplog):
    loop, pause = asyncio.get_running_loop(), asyncio.Event()

    def fail() -> None:
        loop.call_soon_threadsafe(loop.call_later, 0.05, pause.set)
        raise ImportError("half an installation")

    monkeypatch.setattr(asgi, "load_sdks", fail)

    assert await live(pause) == WHOLE
    assert begun == ["started", "set aside", "stopped"]
    assert "could not be loaded ahead" in caplog.text


async def test_nobody_waits_for_sdks_to_end(begun, monkeypatch):
    loop, pause, ended = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def hang() -> None:
        loop.call_soon_threadsafe(pause.set)
        ended.wait(10)

    monkeypatch.setattr(asgi, "load_sdks", hang)

    told = await live(pause)
    ended.set()

    assert told == WHOLE
    assert begun == ["started", "stopped"]
