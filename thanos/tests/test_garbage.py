from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

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


async def collecting(**times: float) -> AsyncIterator[None]:
    task = asyncio.create_task(garbage.collect_between_events(**times))
    await asyncio.sleep(0)
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def gone(knot: weakref.ref[Knot]) -> None:
    async with asyncio.timeout(5):
        while knot() is not None:
            await asyncio.sleep(0.002)


async def test_the_young_are_collected_once_there_are_many(monkeypatch):
    monkeypatch.setattr(garbage, "MAY_CRASH", True)
    gc.collect()  # nothing is waiting
    async with asynccontextmanager(collecting)(every_s=0.001):
        one = weakref.ref(Knot())
        await asyncio.sleep(0.01)
        assert not gc.isenabled() and one() is not None

        many = [[] for _ in range(2 * gc.get_threshold()[0])]
        await gone(one)
        assert many


async def test_the_old_are_looked_at_now_and_then(monkeypatch):
    monkeypatch.setattr(garbage, "MAY_CRASH", True)
    told: list[int] = []
    monkeypatch.setattr(garbage, "_collect_if_grown", lambda old: told.append(old) or len(told))
    async with asynccontextmanager(collecting)(every_s=0.001, full_every_s=0.002), asyncio.timeout(5):
        while len(told) < 3:
            await asyncio.sleep(0.002)

    assert told[:3] == [0, 1, 2]  # each time with what was there the time before


def test_the_old_are_collected_when_there_is_more_of_them():
    knot = Knot()
    gc.collect()  # what is still in use grows old
    old, knot = weakref.ref(knot), Knot()
    gc.collect(1)
    assert old() is not None

    assert garbage._collect_if_grown(10**9) == 10**9
    assert old() is not None

    assert garbage._collect_if_grown(0) > 0
    assert old() is None


async def test_where_collections_are_safe_they_stay_automatic(monkeypatch):
    monkeypatch.setattr(garbage, "MAY_CRASH", False)
    gc.enable()

    await garbage.collect_between_events()

    assert gc.isenabled()


def test_what_is_set_aside_is_not_looked_at_again():
    thing = Knot()

    garbage.set_aside()

    assert gc.get_freeze_count() > 0
    assert not any(one is thing for one in gc.get_objects())
