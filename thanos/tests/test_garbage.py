from __future__ import annotations

import asyncio
import gc
import weakref
from contextlib import suppress

import pytest

from thanos import garbage


class Knot:
    """Refers to itself: only a collection takes it away."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def _as_it_was():
    was = gc.isenabled()
    yield
    gc.unfreeze()
    (gc.enable if was else gc.disable)()


async def test_what_refers_to_itself_is_collected_between_events(monkeypatch):
    monkeypatch.setattr(garbage, "MAY_CRASH", True)
    task = asyncio.create_task(garbage.collect_between_events(every_s=0.001))
    await asyncio.sleep(0)
    gone = weakref.ref(Knot())
    assert not gc.isenabled() and gone() is not None

    async with asyncio.timeout(5):
        while gone() is not None:
            await asyncio.sleep(0.002)

    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_where_collections_are_safe_they_stay_automatic(monkeypatch):
    monkeypatch.setattr(garbage, "MAY_CRASH", False)
    gc.enable()

    await garbage.collect_between_events()

    assert gc.isenabled() and gc.get_freeze_count() > 0
