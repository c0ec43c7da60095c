"""One stream being carried, with a scripted engine: what is passed on, held back, dropped and kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from agents import tools as registry
from agents.tools import AfterTurn, Tool, ToolOutcome
from telephony import conversation as module
from telephony.conversation import Conversation
from telephony.engines import base as ev
from telephony.hearing import BEFORE_TURN_FRAMES, KEPT_FRAMES
from telephony.outbox import Outbox
from telephony.tests.factories import make_plan
from telephony.transcripts.entries import STREAM, Entry
from telephony.twilio.messages import Start, Stop
from thanos.redis import sync_client

FRAME = b"\x10" * 160


class ScriptedEngine:
    """Remembers what it is told; says what the test has it say."""

    def __init__(self, config: ev.EngineConfig, on_audio: ev.OnAudio, on_event: ev.OnEvent) -> None:
        self.config, self.on_audio, self.on_event = config, on_audio, on_event
        self.audio: list[bytes] = []
        self.told: list[tuple[Any, ...]] = []
        self.keeps_up = True
        self.is_closed = False
        self.opens: Callable[[], None] = lambda: None

    async def open(self) -> None:
        self.opens()

    def send_audio(self, audio: bytes) -> bool:
        if self.keeps_up:
            self.audio.append(audio)
        return self.keeps_up

    def say(self, text: str, behavior: str) -> None:
        self.told.append(("say", text, behavior))

    def user_says(self, text: str) -> None:
        self.told.append(("user", text))

    def answer_tool(self, request: ev.ToolRequest, content: str) -> None:
        self.told.append(("answer", request.id, content))

    def replace_prompt(self, prompt: str) -> None:
        self.told.append(("prompt", prompt))

    async def close(self) -> None:
        self.is_closed = True


class Scene:
    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.engines: list[ScriptedEngine] = []
        self.refusals: list[ev.EngineError] = []

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "websocket.send":
            self.sent.append(json.loads(message["text"]))

    def make_engine(self, name: str, config: ev.EngineConfig, *, on_audio: Any, on_event: Any) -> ScriptedEngine:
        engine = ScriptedEngine(config, on_audio, on_event)
        if self.refusals:
            error = self.refusals.pop(0)

            def refuse() -> None:
                raise error

            engine.opens = refuse
        self.engines.append(engine)
        return engine

    @asynccontextmanager
    async def call(self, **plan: Any) -> AsyncIterator[Conversation]:
        start = Start("MZ1", "CA1", "AC1", "audio/x-mulaw", 8000)
        conversation = Conversation(make_plan(**plan), start, Outbox(self.send))
        await settle()
        try:
            yield conversation
        finally:
            await conversation.close()

    @property
    def engine(self) -> ScriptedEngine:
        return self.engines[-1]


def frame(number: int) -> bytes:
    return number.to_bytes(2, "big") * 80


async def settle() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


def kept() -> list[Entry]:
    return [Entry.unsealed(fields[b"e"]) for _, fields in sync_client().xrange(STREAM)]


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    made = Scene()
    monkeypatch.setattr(module, "make_engine", made.make_engine)
    monkeypatch.setattr(module, "RECONNECT_PAUSE_S", 0)
    return made


async def test_what_the_caller_says_while_connecting_is_heard_afterwards_in_order(scene):
    async with scene.call() as conversation:
        for number in range(3):
            conversation.caller_audio(bytes([number]) * 160)
        assert scene.engine.audio == []

        scene.engine.on_event(ev.Ready())
        conversation.caller_audio(FRAME)

        assert [audio[0] for audio in scene.engine.audio] == [0, 1, 2, 0x10]


async def test_audio_kept_while_nobody_listens_is_bounded(scene):
    async with scene.call() as conversation:
        for number in range(KEPT_FRAMES + 10):
            conversation.caller_audio(frame(number))
        scene.engine.on_event(ev.Ready())

        assert len(scene.engine.audio) == KEPT_FRAMES
        assert scene.engine.audio[0] == frame(10)


async def test_a_turn_whose_words_were_lost_with_the_provider_is_heard_again(scene):
    """The caller speaks from frame 80 to 120; the session breaks before it has said what it heard."""
    async with scene.call() as conversation:
        scene.engine.on_event(ev.Ready())
        for number in range(120):
            conversation.caller_audio(frame(number))
            if number == 83:
                scene.engine.on_event(ev.UserStartedSpeaking())
        scene.engine.on_event(ev.Failed("CONNECTION_LOST", "", retryable=True))
        await settle()
        conversation.caller_audio(frame(120))  # nobody listens
        scene.engine.on_event(ev.Ready())
        conversation.caller_audio(frame(121))

        first, second = scene.engines
        assert first.audio == [frame(number) for number in range(120)]
        assert second.audio == [frame(number) for number in range(84 - BEFORE_TURN_FRAMES, 122)]


async def test_words_that_came_are_not_heard_again(scene):
    async with scene.call() as conversation:
        scene.engine.on_event(ev.Ready())
        for number in range(100):
            conversation.caller_audio(frame(number))
        scene.engine.on_event(ev.UserStartedSpeaking())
        scene.engine.on_event(ev.Transcript("user", "When are you open?"))
        conversation.caller_audio(frame(100))
        scene.engine.on_event(ev.Failed("CONNECTION_LOST", "", retryable=True))
        await settle()
        scene.engine.on_event(ev.Ready())

        assert scene.engine.audio == [frame(100)]
        assert scene.engine.config.history == ()  # put to the new session as a question, not as history
        assert ("user", "When are you open?") in scene.engine.told


async def test_agent_audio_goes_out_as_it_comes(scene):
    async with scene.call():
        scene.engine.on_event(ev.Ready())
        scene.engine.on_audio(b"\x01\x02\x03")

        assert scene.sent == [{"event": "media", "streamSid": "MZ1", "media": {"payload": "AQID"}}]


async def test_words_and_events_are_kept_in_order(scene):
    async with scene.call() as conversation:
        scene.engine.on_event(ev.Ready())
        scene.engine.on_event(ev.Transcript("assistant", "Hello."))
        conversation.carrier_message(Stop())

    entries = kept()
    assert [entry.body.get("kind", entry.body.get("text")) for entry in entries] == [
        "stream-started",
        "Hello.",
        "stream-ended",
    ]
    assert [entry.sequence for entry in entries] == sorted(entry.sequence for entry in entries)
    assert entries[-1].body["detail"] == {"frames_in": 0, "reason": "caller-hung-up"}


async def test_audio_a_provider_does_not_take_is_counted(scene):
    async with scene.call() as conversation:
        scene.engine.on_event(ev.Ready())
        scene.engine.keeps_up = False
        for _ in range(4):
            conversation.caller_audio(FRAME)

    assert [e.body["detail"] for e in kept() if e.body.get("kind") == "frames-dropped"] == [{"frames": 4}]


async def test_a_lost_session_is_replaced_and_its_late_news_ignored(scene):
    async with scene.call() as conversation:
        old = scene.engine
        old.on_event(ev.Ready())
        old.on_event(ev.Transcript("assistant", "Hello."))
        old.on_event(ev.Transcript("user", "Are you open?"))
        old.on_event(ev.Failed("CONNECTION_LOST", "", retryable=True))
        conversation.caller_audio(FRAME)
        await settle()
        new = scene.engine
        assert new is not old
        assert old.is_closed
        assert [said.text for said in new.config.history] == ["Hello."]
        assert new.config.greeting == ""

        old.on_event(ev.Transcript("assistant", "a ghost"))
        new.on_event(ev.Ready())

        assert new.audio == [FRAME]
        assert new.told == [("user", "Are you open?")]
    assert "a ghost" not in [entry.body.get("text") for entry in kept()]


async def test_a_first_session_that_is_refused_is_tried_again_with_its_greeting(scene):
    scene.refusals.append(ev.EngineError("HANDSHAKE_429", retryable=True))
    async with scene.call():
        await settle()

        assert [engine.config.greeting for engine in scene.engines] == ["Hello.", "Hello."]


async def test_a_configuration_that_is_refused_ends_the_stream(scene):
    scene.refusals.append(ev.EngineError("INVALID_SETTINGS", retryable=False))
    async with scene.call() as conversation:
        await asyncio.wait_for(conversation.finished.wait(), 1)

        assert conversation.finish is not None
        assert conversation.finish.step == "fall-back"


async def _explode(context: Any, arguments: dict[str, Any]) -> ToolOutcome:
    raise RuntimeError("a secret")


@pytest.mark.parametrize(
    ("name", "arguments", "content"),
    [
        ("explode", "{}", "The tool failed."),
        ("explode", "{", "The arguments cannot be read. This is not JSON"),
        ("end_call", "{}", "There is no tool named end_call."),  # registered, but not this line's
        ("made_up", "{}", "There is no tool named made_up."),
    ],
)
async def test_a_tool_that_cannot_be_run_is_answered(scene, monkeypatch, caplog, name, arguments, content):
    monkeypatch.setattr(registry, "_registry", dict(registry._registry))
    registry.register(Tool("explode", "Fails.", {"type": "object"}, _explode))
    engine = replace(make_plan().engine, tools=(ev.ToolSpec("explode", "", {}),))
    async with scene.call(engine=engine, tools=registry.tools_named(["explode"])):
        scene.engine.on_event(ev.Ready())
        scene.engine.on_event(ev.ToolRequests((ev.ToolRequest("c1", name, arguments),)))
        await settle()

        (answer,) = scene.engine.told
        assert answer[:2] == ("answer", "c1")
        assert answer[2].startswith(content)


async def test_a_member_speaks_and_hangs_up(scene):
    async with scene.call() as conversation:
        scene.engine.on_event(ev.Ready())
        conversation.command({"type": "call.say", "text": "One moment."})
        conversation.command({"type": "call.hang_up"})

        assert scene.engine.told == [("say", "One moment.", "interrupt")]
        assert conversation.finish is not None
        assert conversation.finish.reason == "operator-hung-up"


async def test_the_news_that_the_call_is_over_ends_the_stream(scene):
    async with scene.call() as conversation:
        conversation.command({"type": "call.ended"})

        assert conversation.finished.is_set()
        assert conversation.finish is None


async def test_alarms_go_off_by_the_clock(scene):
    limits = replace(make_plan().limits, silence_prompt_s=0.05, silence_goodbye_s=5)
    async with scene.call(limits=limits, engine=replace(make_plan().engine, greeting="")):
        scene.engine.on_event(ev.Ready())
        scene.engine.on_event(ev.Transcript("assistant", "Yes?"))
        scene.engine.on_event(ev.AgentDone())
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            while not scene.engine.told:
                await asyncio.sleep(0.01)

        assert scene.engine.told == [("say", "Still there?", "queue")]


async def test_nothing_runs_on_after_the_end(scene):
    async with scene.call() as conversation:
        scene.engine.on_event(ev.Ready())
    running = [task for task in asyncio.all_tasks() if "Conversation" in repr(task)]

    assert running == []
    assert scene.engine.is_closed
    assert conversation.journal._task.done()


# --- whatever goes wrong, the call goes on ---------------------------------------------------------------------------


async def _answer_half(context: Any, arguments: dict[str, Any]) -> ToolOutcome:
    return ToolOutcome({"say": "half \ud83d"}, AfterTurn("transfer", "+15550999", "upset \ud83d\x0b about a bill"))


async def test_half_a_character_from_a_tool_transfers_the_caller_and_is_kept_as_a_whole_one(scene, monkeypatch):
    monkeypatch.setattr(registry, "_registry", dict(registry._registry))
    registry.register(Tool("half", "Answers oddly.", {"type": "object"}, _answer_half))
    async with scene.call(tools=registry.tools_named(["half"])) as conversation:
        scene.engine.on_event(ev.Ready())
        scene.engine.on_event(ev.ToolRequests((ev.ToolRequest("", "half", "{}"),)))
        await settle()
        scene.engine.on_event(ev.Failed("INVALID_SETTINGS", "", retryable=False))
        await asyncio.wait_for(conversation.finished.wait(), 1)

        ((_, identifier, content),) = scene.engine.told
        assert (identifier, json.loads(content)["say"]) == ("", "half �")
        assert conversation.finish is not None
        assert (conversation.finish.step, conversation.finish.note) == ("transfer", "upset �  about a bill")
    assert "\ud83d" not in json.dumps([entry.body for entry in kept()], ensure_ascii=False)


async def test_a_tool_asked_for_twice_under_one_id_runs_and_answers_twice(scene, monkeypatch):
    async def count(context: Any, arguments: dict[str, Any]) -> ToolOutcome:
        return ToolOutcome(arguments["n"])

    monkeypatch.setattr(registry, "_registry", dict(registry._registry))
    registry.register(Tool("count", "Counts.", {"type": "object"}, count))
    async with scene.call(tools=registry.tools_named(["count"])):
        scene.engine.on_event(ev.Ready())
        requests = tuple(ev.ToolRequest("", "count", json.dumps({"n": n})) for n in range(3))
        scene.engine.on_event(ev.ToolRequests(requests))
        await settle()

        assert scene.engine.told == [("answer", "", "0"), ("answer", "", "1"), ("answer", "", "2")]


async def test_an_event_that_cannot_be_handled_is_logged_and_the_next_one_is_heard(scene, monkeypatch, caplog):
    def break_down(*args: Any) -> None:
        raise AttributeError("odd")

    async with scene.call() as conversation:
        scene.engine.on_event(ev.Ready())
        with monkeypatch.context() as broken:
            broken.setattr(conversation.bridge, "on_engine", break_down)
            scene.engine.on_event(ev.AgentThinking())
        with monkeypatch.context() as broken:
            broken.setattr(scene.engine, "user_says", break_down)
            conversation.command({"type": "call.user_text", "text": "Half \ud83d"})
        scene.engine.on_event(ev.Transcript("assistant", "Hello."))

    assert [entry.body["text"] for entry in kept() if entry.kind == "message"] == ["Half �", "Hello."]
    assert "An event could not be handled." in caplog.text
    assert "An effect failed." in caplog.text


async def test_an_engine_that_breaks_while_it_is_opened_ends_the_stream_at_once(scene, caplog):
    scene.refusals.append(RuntimeError("odd"))  # type: ignore[arg-type]
    async with scene.call() as conversation:
        await asyncio.wait_for(conversation.finished.wait(), 1)

        assert conversation.finish is not None
        assert conversation.finish.step == "fall-back"
    assert "An engine could not be opened." in caplog.text


async def test_words_are_written_whatever_else_does_not_want_to_end(scene, monkeypatch):
    async def break_down() -> None:
        raise RuntimeError("odd")

    with pytest.raises(RuntimeError):
        async with scene.call():
            scene.engine.on_event(ev.Ready())
            scene.engine.on_event(ev.Transcript("assistant", "Hello."))
            monkeypatch.setattr(scene.engine, "close", break_down)

    assert [entry.body["text"] for entry in kept() if entry.kind == "message"] == ["Hello."]


async def test_an_interruption_says_how_much_was_heard_and_drops_audio_that_waits(scene):
    async with scene.call():
        scene.engine.on_event(ev.Ready())
        scene.engine.on_event(ev.Transcript("assistant", "A long story."))
        scene.engine.on_audio(bytes(80_000))
        scene.engine.on_event(ev.UserStartedSpeaking())

        assert scene.sent[-1] == {"event": "clear", "streamSid": "MZ1"}
    heard = [entry for entry in kept() if entry.kind == "heard"]
    assert [entry.body["share"] for entry in heard] == [0.0]
