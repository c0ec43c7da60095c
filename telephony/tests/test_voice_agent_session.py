"""The engine against the stand-in, over a real socket."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from sandbox.deepgram.faults import Fault, Kind
from telephony.engines import base as ev
from telephony.engines.voice_agent import session as module
from telephony.engines.voice_agent.session import VoiceAgentSession
from telephony.tests.factories import make_plan


class Heard:
    def __init__(self) -> None:
        self.audio = b""
        self.events: list[ev.Event] = []
        self.changed = asyncio.Event()

    def take_audio(self, audio: bytes) -> None:
        self.audio += audio

    def take_event(self, event: ev.Event) -> None:
        self.events.append(event)
        self.changed.set()

    async def until(self, kind: type, timeout_s: float = 10.0) -> Any:
        async with asyncio.timeout(timeout_s):
            while not any(isinstance(event, kind) for event in self.events):
                self.changed.clear()
                await self.changed.wait()
        return next(event for event in self.events if isinstance(event, kind))


def make_session(providers: Any, heard: Heard, **changes: Any) -> VoiceAgentSession:
    values = {"url": providers.socket_url, "api_key": "test-key", **changes}
    config = values.pop("config", make_plan().engine)
    return VoiceAgentSession(config=config, on_audio=heard.take_audio, on_event=heard.take_event, **values)


async def test_a_session_greets_audibly(providers):
    heard = Heard()
    session = make_session(providers, heard)

    await session.open()
    await heard.until(ev.AgentDone)
    await session.close()

    assert [type(event) for event in heard.events] == [ev.Welcome, ev.Ready, ev.Transcript, ev.AgentDone]
    assert heard.events[2] == ev.Transcript("assistant", "Hello.")
    assert len(heard.audio) > 2000


async def test_a_typed_question_is_answered(providers):
    heard = Heard()
    session = make_session(providers, heard, config=replace(make_plan().engine, greeting="", prompt="We open at nine."))

    await session.open()
    await heard.until(ev.Ready)
    session.user_says("When do you open?")
    await heard.until(ev.AgentDone)
    await session.close()

    assert ev.Transcript("assistant", "We open at nine.") in heard.events
    assert any(isinstance(event, ev.Latency) and event.values_ms["think"] >= 0 for event in heard.events)


@pytest.mark.parametrize(
    ("status", "retryable"), [(401, False), (403, False), (429, True), (500, True), (503, True), (400, False)]
)
async def test_a_refused_handshake_keeps_its_status(providers, status, retryable):
    providers.agent.faults.order(Fault(Kind.REFUSE, turn=0, status=status))

    with pytest.raises(ev.EngineError) as caught:
        await make_session(providers, Heard()).open()

    assert caught.value.code == f"HANDSHAKE_{status}"
    assert caught.value.retryable is retryable


async def test_a_wrong_key_is_refused(providers):
    with pytest.raises(ev.EngineError) as caught:
        await make_session(providers, Heard(), api_key="wrong").open()

    assert caught.value.code == "HANDSHAKE_401"


async def test_nobody_there_is_worth_another_attempt(providers, unused_port):
    with pytest.raises(ev.EngineError) as caught:
        await make_session(providers, Heard(), url=f"ws://127.0.0.1:{unused_port}").open()

    assert (caught.value.code, caught.value.retryable) == ("UNREACHABLE", True)


async def test_an_error_message_ends_the_session_once(providers):
    providers.agent.faults.order(Fault(Kind.ERROR, turn=0, code="SERVER_GOING_AWAY"))
    heard = Heard()
    session = make_session(providers, heard)

    await session.open()
    failed = await heard.until(ev.Failed)
    await asyncio.sleep(0.1)  # the socket closes behind the message
    await session.close()

    assert failed == ev.Failed("SERVER_GOING_AWAY", "On order.", retryable=True)
    assert len([event for event in heard.events if isinstance(event, ev.Failed)]) == 1


async def test_a_broken_connection_is_a_failure_worth_another_attempt(providers):
    providers.agent.faults.order(Fault(Kind.DROP, turn=0))
    heard = Heard()
    session = make_session(providers, heard)

    await session.open()
    failed = await heard.until(ev.Failed)
    await session.close()

    assert (failed.code, failed.retryable) == ("CONNECTION_LOST", True)


async def test_after_closing_nothing_is_heard(providers):
    heard = Heard()
    session = make_session(providers, heard)
    await session.open()
    await heard.until(ev.Ready)

    await session.close()
    await session.close()
    count = len(heard.events)
    await asyncio.sleep(0.2)

    assert len(heard.events) == count
    assert session.send_audio(b"\xff" * 160) is False


async def test_a_quiet_line_is_kept_alive(providers, monkeypatch):
    monkeypatch.setattr(module, "KEEP_ALIVE_S", 0.05)
    session = make_session(providers, heard := Heard())
    await session.open()
    await heard.until(ev.Ready)

    await asyncio.sleep(0.2)
    await session.close()

    assert {"type": "KeepAlive"} in providers.agent.messages_seen


async def test_a_prompt_longer_than_the_provider_reads_is_said_to_be(providers):
    heard = Heard()
    session = make_session(providers, heard, config=replace(make_plan().engine, prompt="x" * 25_001))
    await session.open()
    await heard.until(ev.Ready)
    session.replace_prompt("short")
    session.replace_prompt("y" * 30_000)
    await session.close()

    told = [event.description for event in heard.events if isinstance(event, ev.Notice) and event.code == "PROMPT_CUT"]
    assert [text.split()[3] for text in told] == ["25001", "30000"]


async def test_messages_that_cannot_be_read_end_nothing_and_are_logged_once(providers, caplog):
    heard = Heard()
    session = make_session(providers, heard)
    await session.open()
    await heard.until(ev.Ready)
    (theirs,) = providers.agent.sessions
    for text in (
        "garbage",
        "[7]",
        '{"type":"FunctionCallRequest","functions":[7]}',
        '{"type":"ConversationText","role":7}',
    ):
        asyncio.run_coroutine_threadsafe(theirs.socket.send_str(text), providers.loop).result(5)
    asyncio.run_coroutine_threadsafe(
        theirs.socket.send_str(r'{"type":"ConversationText","role":"user","content":"Half \ud83d"}'), providers.loop
    ).result(5)
    async with asyncio.timeout(5):
        while ev.Transcript("user", "Half �") not in heard.events:
            await asyncio.sleep(0.01)
    await session.close()

    assert heard.events.count(ev.UnknownEvent("(unreadable)")) == 2
    assert not any(isinstance(event, ev.Failed) for event in heard.events)
    assert caplog.text.count("cannot be read") == 1


async def test_audio_is_refused_while_the_provider_does_not_keep_up(providers):
    session = make_session(providers, heard := Heard())
    await session.open()
    await heard.until(ev.Ready)

    session.is_congested = True
    refused = session.send_audio(b"\xff" * 160)
    session.is_congested = False
    taken = session.send_audio(b"\xff" * 160)
    await session.close()

    assert (refused, taken) == (False, True)
