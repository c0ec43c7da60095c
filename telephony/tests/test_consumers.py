"""The end of a media stream: stored and told to the carrier, whatever else does not want to end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from telephony import consumers, conversation, ending
from telephony.ending import end_tasks
from telephony.engines import base as ev
from telephony.enums import NextStep
from telephony.models import Call
from telephony.outbox import Outbox
from telephony.tests.factories import make_call, make_plan
from telephony.tests.test_conversation import ScriptedEngine
from telephony.twilio.messages import Start
from tenants.context import entered
from tenants.models import Tenant

START = Start("MZ1", "CA1", "AC1", "audio/x-mulaw", 8000)


class ForgetfulLayer:
    """Loses the first cancellations that come, as a client library may."""

    def __init__(self, losing: int) -> None:
        self.losing = losing

    async def new_channel(self) -> str:
        return "specific.1"

    async def group_add(self, group: str, channel: str) -> None:
        """Nothing to do."""

    async def receive(self, channel: str) -> Any:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.losing -= 1
                if self.losing < 0:
                    raise


def refuse_for_good(name: str, config: ev.EngineConfig, *, on_audio: Any, on_event: Any) -> ScriptedEngine:
    engine = ScriptedEngine(config, on_audio, on_event)
    loop = asyncio.get_running_loop()
    engine.opens = lambda: loop.call_soon(on_event, ev.Failed("INVALID_SETTINGS", "", retryable=False))  # type: ignore[assignment,func-returns-value]
    return engine


async def inside(tenant: Tenant, function: Any, **values: Any) -> Any:
    """Like `in_tenant`, in the thread that holds the test's transaction."""

    def run() -> Any:
        with entered(tenant):
            return function(**values)

    return await sync_to_async(run)()


async def never() -> dict[str, Any]:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize("losing", [0, 1, 99])
async def test_a_call_ends_even_when_a_task_loses_its_cancellation(alice, monkeypatch, caplog, losing):
    layer = ForgetfulLayer(losing)
    monkeypatch.setattr(consumers, "get_channel_layer", lambda: layer)
    monkeypatch.setattr(conversation, "make_engine", refuse_for_good)
    monkeypatch.setattr(consumers, "in_tenant", inside)
    monkeypatch.setattr(ending, "ROUND_S", 0.01)
    call = await inside(alice, make_call, stream_count=1)
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        stored = await inside(alice, Call.objects.get, pk=call.pk)
        sent.append({**message, "next_step": stored.next_step})

    plan = make_plan(call_id=str(call.pk), call_sid=call.call_sid, schema=alice.schema_name)
    async with asyncio.timeout(10):
        await consumers._carry(alice, plan, START, never, Outbox(send), None)

    assert sent == [{"type": "websocket.close", "code": 1000, "next_step": NextStep.FALL_BACK}]
    assert ("Tasks did not end" in caplog.text) is (losing == 99)
    layer.losing = 0
    await asyncio.sleep(0)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        if "_obey" in repr(task):
            task.cancel()


async def test_tasks_are_ended_together_and_their_errors_looked_at():
    async def fail() -> None:
        raise ValueError

    failed, waiting = asyncio.create_task(fail()), asyncio.create_task(asyncio.sleep(60))
    await asyncio.sleep(0)

    await end_tasks(failed, waiting)

    assert waiting.cancelled()
    assert failed.done()


async def test_nothing_to_end():
    await end_tasks()
