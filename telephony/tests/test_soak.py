"""Thousands of broken messages of either provider: no call ends by them, nothing raises, and the loop stays free.

`python -m bench soak` does the same to a running installation, over its sockets.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sandbox.fuzz import deepgram_messages, twilio_messages
from telephony import conversation as module
from telephony.bridge import Phase
from telephony.consumers import _Inbound
from telephony.conversation import Conversation
from telephony.engines.voice_agent.session import VoiceAgentSession
from telephony.outbox import Outbox
from telephony.tests.factories import make_plan
from telephony.twilio.messages import Start

MESSAGES = 1500
LAG_S = 0.05
START = Start("MZ1", "CA1", "AC1", "audio/x-mulaw", 8000)


class Unconnected(VoiceAgentSession):
    """The provider's session without its socket: what it hears is put in by the test, what it says is kept."""

    made: list[Unconnected]

    async def open(self) -> None:
        self.made.append(self)
        self.said: list[bytes] = []
        self.heard = b""

    def send_audio(self, audio: bytes) -> bool:
        self.heard += audio
        return True

    def _send(self, data: bytes) -> None:
        self.said.append(data)


@asynccontextmanager
async def a_call(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Conversation]:
    Unconnected.made = []

    def make(name: str, config: Any, *, on_audio: Any, on_event: Any) -> Unconnected:
        return Unconnected(config=config, url="ws://x", api_key="x", on_audio=on_audio, on_event=on_event)

    monkeypatch.setattr(module, "make_engine", make)
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(json.loads(message["text"]))

    carried = Conversation(make_plan(), START, Outbox(send))
    carried.sent = sent  # type: ignore[attr-defined]
    while not Unconnected.made:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0)
    try:
        yield carried
    finally:
        await carried.close()


async def feed(messages: Any, take: Callable[[bytes], None]) -> float:
    """Return the longest time that one message kept the loop busy, the work it left behind included.

    Of the processor, not by the clock: others may be at work on the machine.
    """
    longest = 0.0
    for message in messages:
        began = time.thread_time()
        take(message)
        await asyncio.sleep(0)
        longest = max(longest, time.thread_time() - began)
    return longest


def audio_message(number: int) -> bytes:
    media = {"chunk": str(number), "payload": base64.b64encode(b"\x10" * 160).decode()}
    return json.dumps({"event": "media", "media": media}).encode()


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_carrier_out_of_order_does_not_end_a_call(monkeypatch, caplog, seed):
    async with a_call(monkeypatch) as conversation:
        session, inbound = Unconnected.made[-1], _Inbound(conversation)
        session.receive_text(b'{"type":"SettingsApplied"}')

        longest = await feed(twilio_messages(seed, MESSAGES), inbound.take)
        heard = len(session.heard)
        inbound.take(audio_message(100_000))

        assert len(session.heard) == heard + 160
        assert not conversation.finished.is_set()
    assert [record for record in caplog.records if record.exc_info] == []
    assert longest < LAG_S


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_voice_agent_out_of_order_does_not_end_a_call(monkeypatch, caplog, seed):
    async with a_call(monkeypatch) as conversation:
        session = Unconnected.made[-1]
        session.receive_text(b'{"type":"SettingsApplied"}')

        longest = await feed(deepgram_messages(seed, MESSAGES), session.receive_text)
        session.receive_text(b'{"type":"ConversationText","role":"user","content":"Hello?"}')
        session.on_audio(b"\x10" * 160)

        assert conversation.sent[-1]["event"] == "media"
        assert conversation.bridge.phase is Phase.TALKING
        assert Unconnected.made == [session]
    assert [record for record in caplog.records if record.exc_info] == []
    assert longest < LAG_S
    for data in session.said:
        json.loads(data.decode())


async def test_nothing_but_garbage_for_a_while_is_no_carrier(monkeypatch):
    async with a_call(monkeypatch) as conversation:
        inbound, clock = _Inbound(conversation), Clock()
        monkeypatch.setattr("telephony.consumers.time", clock)
        for _ in range(60):
            inbound.take(b"garbage")
        assert not conversation.finished.is_set()

        inbound.take(audio_message(1))
        clock.now += 20
        for _ in range(60):
            inbound.take(b"garbage")
        assert not conversation.finished.is_set()

        clock.now += 20
        inbound.take(b"garbage")
        assert conversation.finished.is_set()


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now
