"""Specialists join a call that is being carried: the whole of it, with a scripted engine and scripted specialists."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest

from agents.collaboration.tests.factories import make_rules
from agents.collaboration.working import Work
from agents.llm.base import ErrorCode, LlmError
from telephony import collaborating as module
from telephony import conversation as conversation_module
from telephony.engines import base as ev
from telephony.plan import Joining
from telephony.tests.factories import make_plan
from telephony.tests.test_conversation import Scene, kept, settle
from telephony.tools import consult_specialist

CONSENT = "May I ask a specialist? It takes 30 seconds."
HARD = "How is sales tax reckoned for a shop in two countries?"


class ScriptedSpecialists:
    """Answer what the test has them answer, when it has them."""

    tenant = None

    def __init__(self) -> None:
        self.rating: Any = (0.9, False)
        self.judgement = "unclear"
        self.answer = "It is due on the tenth."
        self.asked: list[tuple[str, list[tuple[str, str]]]] = []
        self.ready = asyncio.Event()
        self.ready.set()
        self.was_cancelled = False

    async def rate(self, text):
        if isinstance(self.rating, Exception):
            raise self.rating
        return self.rating

    async def judge(self, text):
        return self.judgement

    async def work(self, question, said, *, most, limit_s):
        self.asked.append((question, said))
        try:
            await self.ready.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        return Work(answer=self.answer)


class JoinedScene(Scene):
    def __init__(self) -> None:
        super().__init__()
        self.specialists = ScriptedSpecialists()
        self.written: list[tuple[str, dict[str, Any]]] = []
        self.rules = make_rules()

    def joined(self, **plan):
        tools = {"consult_specialist": consult_specialist}
        return self.call(joining=Joining(self.rules, self.specialists), tools=tools, **plan)

    async def hears(self, text):
        self.engine.on_event(ev.UserStartedSpeaking())
        self.engine.on_event(ev.Transcript("user", text))
        await settle()

    async def agent_says(self, *pieces):
        for piece in pieces:
            self.engine.on_event(ev.Transcript("assistant", piece))
        self.engine.on_audio(b"\x10" * 160)
        self.engine.on_event(ev.AgentDone())
        await settle()

    def told(self, kind):
        return [entry[1] for entry in self.engine.told if entry[0] == kind]

    @property
    def outcome(self):
        return next((values["outcome"].value for name, values in reversed(self.written) if name == "record_end"), None)


@pytest.fixture
def scene(monkeypatch):
    made = JoinedScene()
    monkeypatch.setattr(conversation_module, "make_engine", made.make_engine)

    async def write(tenant, work: functools.partial):
        made.written.append((work.func.__name__, work.keywords))

    monkeypatch.setattr(module, "in_tenant", write)
    return made


async def test_a_hard_question_is_answered_with_consent(scene):
    async with scene.joined() as conversation:
        scene.engine.on_event(ev.Ready())
        await scene.hears(HARD)
        assert CONSENT in scene.told("say")
        assert scene.told("prompt") == ["Be kind.\n\nWait."]
        assert conversation.bridge.floor.is_held
        await scene.agent_says("Well, that is a difficult one.")  # its own turn, which was under way
        await scene.hears("Hm.")  # not an answer, and the question has not been heard yet
        await scene.agent_says("May I ask a specialist?", "It takes 30 seconds.")
        await scene.hears("Yes please.")
        question, said = scene.specialists.asked[0]
        assert question == HARD
        assert ("user", HARD) in said
        assert scene.told("say")[-1] == "One moment."
        assert scene.told("prompt")[-1] == "Be kind.\n\nThey say: It is due on the tenth."
        assert scene.told("user") == [f"(My question was: {HARD})"]
        assert not conversation.bridge.floor.is_held
        await scene.agent_says("The specialists say it is due on the tenth.")
    assert scene.outcome == "answered"
    assert [name for name, _ in scene.written] == [
        "record_begin",
        "record_stage",
        "record_stage",
        "record_stage",
        "record_work",
        "record_stage",
        "record_stage",
        "record_end",
    ]
    events = [entry.body["detail"] for entry in kept() if entry.body.get("kind") == "specialists"]
    assert {"stage": "Specialists are working", "said": "Yes please."} in events
    assert {"outcome": "Answered"} in events
    words = [entry.body["text"] for entry in kept() if entry.kind == "message"]
    assert not any(text.startswith("(My question") for text in words)  # what we put into the caller's mouth


async def test_the_agents_own_wish_goes_the_same_way(scene):
    async with scene.joined():
        scene.engine.on_event(ev.Ready())
        request = ev.ToolRequest("t1", "consult_specialist", '{"question": "When is it due?"}')
        scene.engine.on_event(ev.ToolRequests((request,)))
        await settle()
        assert CONSENT in scene.told("say")
        await scene.agent_says(CONSENT)
        await scene.hears("Sure")
        assert scene.specialists.asked[0][0] == "When is it due?"


async def test_no_leaves_the_agent_as_it_was(scene):
    async with scene.joined():
        scene.engine.on_event(ev.Ready())
        await scene.hears("I want an expert agent")
        await scene.agent_says(CONSENT)
        await scene.hears("No thanks")
        assert scene.told("prompt")[-1] == "Be kind."
        assert scene.told("say")[-1] == "Then let us go on."
        await scene.agent_says("Then let us go on.")
        await scene.hears(HARD)
        assert scene.told("say")[-1] == "Then let us go on."  # is not offered again
    assert scene.specialists.asked == []
    assert scene.outcome == "declined"


async def test_silence_is_no(scene, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(conversation_module, "now", lambda: clock[0])
    async with scene.joined() as conversation:
        scene.engine.on_event(ev.Ready())
        await scene.hears("I want an expert agent")
        await scene.agent_says(CONSENT)
        clock[0] += 9.0
        conversation._apply(conversation.bridge.on_time(clock[0]))
        assert "Still there?" not in scene.told("say")  # the caller is thinking, and we have just asked
        clock[0] += 2.0
        conversation._collaborator.on_time()
        assert scene.told("say")[-1] == "Then let us go on."
        await scene.agent_says("Then let us go on.")
    assert scene.outcome == "unanswered"


async def test_nobody_who_can_help_costs_a_sentence(scene):
    scene.specialists.answer = ""
    async with scene.joined():
        scene.engine.on_event(ev.Ready())
        await scene.hears("I want an expert agent")
        await scene.agent_says(CONSENT)
        await scene.hears("Yes")
        assert scene.told("say")[-1] == "Nobody could help."
        assert scene.told("prompt")[-1] == "Be kind."
        await scene.agent_says("Nobody could help.")
    assert scene.outcome == "failed"


async def test_a_caller_who_hangs_up_ends_the_work(scene):
    scene.specialists.ready.clear()
    async with scene.joined():
        scene.engine.on_event(ev.Ready())
        await scene.hears("I want an expert agent")
        await scene.agent_says(CONSENT)
        await scene.hears("Yes")
    assert scene.specialists.was_cancelled
    assert scene.outcome == "hung-up"


async def test_a_provider_that_fails_while_they_work_is_told_to_wait_again(scene):
    scene.specialists.ready.clear()
    async with scene.joined():
        scene.engine.on_event(ev.Ready())
        await scene.hears("I want an expert agent")
        await scene.agent_says(CONSENT)
        await scene.hears("Yes")
        scene.engine.on_event(ev.Failed("CONNECTION_LOST", "", retryable=True))
        await asyncio.sleep(conversation_module.RECONNECT_PAUSE_S + 0.05)
        assert len(scene.engines) == 2
        assert scene.engine.config.prompt == "Be kind.\n\nWait."
        scene.engine.on_event(ev.Ready())
        scene.specialists.ready.set()
        await settle()
        assert scene.told("prompt")[-1].startswith("Be kind.\n\nThey say:")


async def test_a_rating_that_fails_changes_nothing(scene):
    scene.specialists.rating = LlmError(ErrorCode.OVERLOADED)
    async with scene.joined():
        scene.engine.on_event(ev.Ready())
        await scene.hears(HARD)
        assert scene.engine.told == []
    assert scene.written == []


async def test_a_record_that_cannot_be_written_costs_no_call(scene, monkeypatch, caplog):
    async def fail(*_):
        raise OSError

    monkeypatch.setattr(module, "in_tenant", fail)
    async with scene.joined() as conversation:
        scene.engine.on_event(ev.Ready())
        await scene.hears("I want an expert agent")
        assert conversation.finish is None
    assert "could not be recorded" in caplog.text


async def test_without_anybody_to_join_nothing_is_different(scene):
    async with scene.call() as conversation:
        assert conversation._collaborator is None
        scene.engine.on_event(ev.Ready())
        await scene.hears("I want an expert agent")
        assert scene.engine.told == []


def test_plans_have_nobody_join_unless_told():
    assert make_plan().joining is None
