"""The end of a media stream: stored and told to the carrier, whatever else does not want to end."""

from __future__ import annotations

import asyncio
import json
from typing import Any, ClassVar

import pytest
from asgiref.sync import sync_to_async
from django.db import InternalError, OperationalError
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError

from telephony import consumers, conversation, ending
from telephony.ending import end_tasks
from telephony.engines import base as ev
from telephony.enums import NextStep
from telephony.models import Call
from telephony.outbox import Outbox
from telephony.services.tokens import TokenError
from telephony.tests.factories import make_call, make_plan
from telephony.tests.test_conversation import ScriptedEngine
from telephony.transcripts.figures import losses
from telephony.twilio.messages import Start
from tenants.context import NoTenantError, entered
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


# --- before a stream is admitted -------------------------------------------------------------------------------------

FORMAT = {"encoding": "audio/x-mulaw", "sampleRate": 8000}


async def knock(*texts: str) -> list[dict[str, Any]]:
    """Return what a socket is sent that sends this."""
    received = [{"type": "websocket.connect"}, *({"type": "websocket.receive", "text": text} for text in texts)]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return received.pop(0) if received else await never()

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async with asyncio.timeout(10):
        await consumers.media_stream({"headers": []}, receive, send)
    return sent


@pytest.mark.parametrize(
    "start",
    [
        7,
        [],
        {"mediaFormat": []},
        {"mediaFormat": {"sampleRate": "x"}},
        {"customParameters": ["call_token"]},
        {"streamSid": "MZ1", "mediaFormat": FORMAT, "customParameters": {"call_token": ["x"]}},
        {"streamSid": "MZ1", "mediaFormat": FORMAT, "customParameters": {"call_token": "\x00.x"}},
        {"streamSid": "MZ1", "mediaFormat": FORMAT, "customParameters": {"call_token": "public.x"}},
        {"streamSid": "MZ1", "mediaFormat": FORMAT, "customParameters": {"call_token": "pg_catalog." + "x" * 43}},
        {"streamSid": "MZ1", "mediaFormat": FORMAT, "customParameters": {"call_token": "t_gone." + "x" * 43}},
        {
            "streamSid": "MZ1",
            "mediaFormat": FORMAT,
            "customParameters": {"call_token": 't"; DROP SCHEMA x; --.' + "x" * 43},
        },
        {"streamSid": "MZ1", "mediaFormat": FORMAT, "callSid": "\x00", "customParameters": {"call_token": "\ud83d.\ud83d"}},
    ],
)
async def test_an_odd_start_is_turned_away_without_a_trace_in_the_log(start, caplog, monkeypatch):
    asked: list[str] = []

    def find(schema: str) -> Tenant:
        asked.append(schema)
        raise NoTenantError(schema)

    monkeypatch.setattr(consumers, "find_tenant", find)

    sent = await knock(json.dumps({"event": "start", "start": start}))

    assert sent == [{"type": "websocket.accept"}, {"type": "websocket.close", "code": 1008}]
    assert [record for record in caplog.records if record.exc_info] == []
    assert set(asked) <= {"pg_catalog", "t_gone"}  # nothing else comes near the database


async def test_a_start_that_is_none_does_no_harm_before_a_right_one(monkeypatch):
    admitted: list[Start] = []

    async def admit(start: Start) -> Any:
        admitted.append(start)
        raise TokenError("far enough")

    monkeypatch.setattr(consumers, "_admit", admit)

    await knock('{"event":"start","start":[]}', "{", json.dumps({"event": "start", "start": {"streamSid": "MZ2"}}))

    assert [start.stream_sid for start in admitted] == ["MZ2"]


async def test_a_socket_that_sends_anything_but_a_start_is_turned_away():
    sent = await knock(*(["garbage"] * consumers.MAX_MALFORMED))

    assert sent[-1] == {"type": "websocket.close", "code": 1008}


async def test_a_socket_that_sends_nothing_is_turned_away(monkeypatch):
    monkeypatch.setattr(consumers, "START_TIMEOUT_S", 0.05)

    assert (await knock())[-1] == {"type": "websocket.close", "code": 1008}


# --- the end is stored, however long that takes ----------------------------------------------------------------------


class Ending:
    """A stream whose end cannot be stored for a while."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *errors: Exception) -> None:
        self.errors = list(errors)
        self.stored: list[Any] = []
        self.plan = make_plan()
        self.finish = "finish"
        monkeypatch.setattr(consumers, "in_tenant", self._in_tenant)
        monkeypatch.setattr(consumers, "REMEMBER_FOR_S", 0.05)
        monkeypatch.setattr(consumers, "REMEMBER_PAUSE_S", 0.03)

    async def _in_tenant(self, tenant: Any, function: Any, **values: Any) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.stored.append(values)


AWAY = [
    OperationalError("disk full"),
    RedisError("MISCONF"),
    BrokerError("away"),
    InternalError("read-only"),
    OSError(28, "x"),
]


async def test_the_end_of_a_stream_is_stored_when_the_database_is_back_long_after_the_caller(alice, monkeypatch, caplog):
    ending = Ending(monkeypatch, *AWAY)

    await consumers._remember_end(alice, ending)  # type: ignore[arg-type]

    assert ending.stored == []
    assert "it is tried on" in caplog.text
    assert losses.ends_waiting == 1
    async with asyncio.timeout(5):
        while losses.ends_waiting:
            await asyncio.sleep(0.01)
    assert ending.stored == [{"plan": ending.plan, "finish": "finish"}]


@pytest.mark.parametrize("error", [ValueError("odd"), Call.DoesNotExist()])
async def test_an_end_that_can_never_be_stored_is_counted_and_keeps_nobody_waiting(alice, monkeypatch, caplog, error):
    before = losses.ends_lost

    await consumers._remember_end(alice, Ending(monkeypatch, error))  # type: ignore[arg-type]

    assert (losses.ends_waiting, losses.ends_lost) == (0, before + 1)
    assert "The end of a stream is lost." in caplog.text


async def test_a_command_that_cannot_be_carried_out_leaves_the_next_one_to_be(caplog):
    class Layer:
        messages: ClassVar = [{"type": "call.say"}, {"type": "call.hang_up"}]
        done = asyncio.Event()

        async def new_channel(self) -> str:
            return "specific.1"

        async def group_add(self, group: str, channel: str) -> None:
            """Nothing to do."""

        async def receive(self, channel: str) -> Any:
            return self.messages.pop(0) if self.messages else await never()

    class Obeying:
        plan = make_plan()

        def command(self, message: dict[str, Any]) -> None:
            if message["type"] == "call.say":
                raise KeyError("text")
            Layer.done.set()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(consumers, "get_channel_layer", Layer)
        task = asyncio.create_task(consumers._obey(Obeying()))  # type: ignore[arg-type]
        await asyncio.wait_for(Layer.done.wait(), 5)
        await end_tasks(task)

    assert "A command could not be carried out." in caplog.text
