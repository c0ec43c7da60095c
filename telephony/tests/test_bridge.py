"""The conversation as a state machine, on a clock of the tests' own."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from agents.tools import AfterTurn
from telephony.bridge import Bridge, Phase
from telephony.bridge.closing import FAREWELL_WAIT_S, GOING_ON_S, SPOKEN_WAIT_S
from telephony.bridge.floor import LONGEST_TURN_S, WORDLESS_TURN_S
from telephony.bridge.link import RECONNECT_WINDOW_S
from telephony.bridge.playback import MARK_GRACE_S, STALE_AUDIO_S
from telephony.bridge.sayings import REFUSED_RETRIES, REFUSED_RETRY_S
from telephony.bridge.toolcalls import HELD_TOOL_S
from telephony.effects import (
    AddEvent,
    AddHeard,
    AddLatency,
    AddMessage,
    AnswerTool,
    CancelTool,
    ClearCarrier,
    Finish,
    Reconnect,
    ReplacePrompt,
    RunTool,
    Say,
    SendCarrier,
    UserSays,
)
from telephony.engines import base as ev
from telephony.enums import EndedReason, EventKind, NextStep
from telephony.tests.factories import make_plan, said
from telephony.twilio import messages

SECOND = bytes(8000)
FRAME = bytes(160)


class Scene:
    """A bridge, and a clock that moves only when told to; alarms go off on the way."""

    def __init__(self, **plan: Any) -> None:
        self.now = 1000.0
        self.bridge = Bridge(make_plan(**plan), stream_sid="MZ1", now=self.now)
        self.effects: list[Any] = []
        self.sent: list[dict[str, Any]] = []

    def take(self, effects: list[Any]) -> list[Any]:
        self.effects += effects
        self.sent += [json.loads(effect.text) for effect in effects if isinstance(effect, SendCarrier | ClearCarrier)]
        return effects

    def engine(self, event: ev.Event) -> list[Any]:
        return self.take(self.bridge.on_engine(event, self.now))

    def carrier(self, message: messages.Message) -> list[Any]:
        return self.take(self.bridge.on_carrier(message, self.now))

    def audio(self, audio: bytes = SECOND) -> bool:
        """Play agent audio; tell whether it was passed on."""
        text = self.bridge.agent_audio(audio, self.now)
        if text is not None:
            self.sent.append(json.loads(text))
        return text is not None

    def wait(self, seconds: float) -> list[Any]:
        """Let time pass, with every alarm at its moment; return what the alarms asked for."""
        end, asked = self.now + seconds, []
        for _ in range(50):
            deadline = self.bridge.deadline()
            if deadline > end:
                break
            self.now = max(self.now, deadline)
            asked += self.take(self.bridge.on_time(self.now))
        self.now = end
        return asked

    def ready(self) -> Scene:
        self.engine(ev.Ready())
        return self

    def greet(self) -> Scene:
        """The greeting is spoken and played to its end."""
        self.ready()
        self.speak("Hello.")
        self.played()
        return self

    def speak(self, text: str, audio: bytes = SECOND) -> None:
        self.engine(ev.Transcript("assistant", text))
        self.audio(audio)
        self.engine(ev.AgentDone())

    def played(self) -> list[Any]:
        """The carrier's playhead reaches the last mark."""
        self.now = max(self.now, self.bridge.playback.until)
        return self.carrier(messages.Mark(self.last_mark))

    @property
    def last_mark(self) -> str:
        return next(item["mark"]["name"] for item in reversed(self.sent) if item["event"] == "mark")

    def hear(self, text: str) -> list[Any]:
        """The caller says something."""
        self.engine(ev.UserStartedSpeaking())
        return self.engine(ev.Transcript("user", text))

    def tool_done(self, content: str = "{}", after: AfterTurn | None = None, *, number: int = -1) -> list[Any]:
        """The tool that was begun last (or another one) has an answer."""
        request = self.of(RunTool)[number].request
        return self.take(self.bridge.tool_finished(request, content, after, self.now))

    def of(self, kind: type) -> list[Any]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def events(self, kind: EventKind) -> list[AddEvent]:
        return [effect for effect in self.of(AddEvent) if effect.kind == kind]

    @property
    def finish(self) -> Finish | None:
        found = self.of(Finish)
        return found[-1] if found else None


def call_tool(name: str, arguments: str = "{}", identifier: str = "call_1") -> ev.ToolRequests:
    return ev.ToolRequests((ev.ToolRequest(identifier, name, arguments),))


# --- talking ---------------------------------------------------------------------------------------------------------


def test_agent_audio_is_passed_on_as_it_came():
    scene = Scene().ready()

    scene.audio(b"\x01\x02\x03")

    assert scene.sent == [{"event": "media", "streamSid": "MZ1", "media": {"payload": "AQID"}}]


def test_words_of_both_become_messages_in_one_sequence():
    scene = Scene().greet()

    scene.hear("When are you open?")
    scene.speak("From nine to five.")

    assert [(message.role, message.text) for message in scene.of(AddMessage)] == [
        ("assistant", "Hello."),
        ("user", "When are you open?"),
        ("assistant", "From nine to five."),
    ]
    sequences = [effect.sequence for effect in scene.effects if isinstance(effect, AddMessage | AddEvent)]
    assert sequences == sorted(set(sequences))
    assert sequences[0] == 1_000_001


def test_each_stream_numbers_its_entries_in_its_own_range():
    scene = Scene(stream_number=3)
    scene.engine(ev.Welcome("r1"))

    assert scene.of(AddEvent)[0].sequence == 3_000_001


def test_a_mark_follows_each_turn_of_the_agent():
    scene = Scene().greet()

    assert [item["event"] for item in scene.sent] == ["media", "mark"]
    assert scene.last_mark == "0:1"


def test_latency_belongs_to_the_answer_and_is_measured_from_the_callers_last_word():
    scene = Scene().greet()

    scene.hear("Hello?")
    scene.now += 0.4
    scene.engine(ev.Latency({"think": 250, "speak": 90}))
    scene.audio()
    scene.engine(ev.Transcript("assistant", "Yes."))
    answer = scene.of(AddMessage)[-1]

    merged: dict[str, int] = {}
    for effect in scene.of(AddLatency):
        assert effect.sequence == answer.sequence
        merged |= effect.values_ms
    assert merged == {"think": 250, "speak": 90, "total": 400}


def test_the_greeting_has_no_latency():
    scene = Scene().greet()

    assert scene.of(AddLatency) == []


# --- barge-in --------------------------------------------------------------------------------------------------------


def test_an_interruption_clears_the_carriers_buffer_at_once_and_is_noted():
    scene = Scene().ready()
    scene.speak("A long sentence.", SECOND * 5)
    scene.now += 2

    effects = scene.engine(ev.UserStartedSpeaking())

    assert isinstance(effects[0], ClearCarrier)
    assert scene.sent[-1] == {"event": "clear", "streamSid": "MZ1"}
    assert [event.detail for event in scene.events(EventKind.BARGE_IN)] == [{"unheard_ms": 3000}]


def test_speaking_into_silence_is_no_interruption():
    scene = Scene().greet()
    scene.now += 1

    scene.engine(ev.UserStartedSpeaking())

    assert scene.events(EventKind.BARGE_IN) == []


def test_late_audio_of_the_interrupted_turn_is_dropped_until_the_next_turn():
    scene = Scene().ready()
    scene.speak("A long sentence.", SECOND * 5)
    scene.engine(ev.UserStartedSpeaking())

    assert not scene.audio(FRAME)
    scene.engine(ev.Transcript("assistant", "…of the old turn"))
    assert not scene.audio(FRAME)
    scene.engine(ev.AgentDone())
    assert scene.sent[-1]["event"] == "clear"  # and no mark for what nobody heard

    scene.engine(ev.Transcript("user", "Wait!"))
    assert scene.audio(FRAME)
    assert scene.bridge.record.counts["stale-frames"] == 2


def test_marks_of_an_earlier_generation_say_nothing():
    scene = Scene().ready()
    scene.speak("One.", SECOND * 3)
    old = scene.last_mark
    scene.hear("Stop.")
    scene.speak("Two.")

    scene.carrier(messages.Mark(old))

    assert scene.bridge.playback.is_playing
    assert scene.last_mark.startswith("1:")


def test_audio_long_after_a_cough_is_not_mistaken_for_late():
    scene = Scene().greet()
    scene.engine(ev.UserStartedSpeaking())
    scene.now += STALE_AUDIO_S + 0.1

    assert scene.audio(FRAME)


# --- silence ---------------------------------------------------------------------------------------------------------


def test_a_silent_caller_is_asked_and_then_bid_goodbye():
    scene = Scene().greet()

    asked = scene.wait(8.5)
    assert [effect for effect in asked if isinstance(effect, Say)] == [Say("Still there?", "queue")]
    scene.speak("Still there?")
    scene.played()

    asked = scene.wait(12.5)
    assert [effect for effect in asked if isinstance(effect, Say)] == [Say("Goodbye then.", "interrupt")]
    scene.speak("Goodbye then.")
    scene.played()

    assert scene.finish == Finish(NextStep.HANG_UP, EndedReason.CALLER_SILENT)


def test_silence_is_counted_from_the_end_of_playback():
    scene = Scene().ready()
    scene.speak("A long story.", SECOND * 20)

    assert [effect for effect in scene.wait(20) if isinstance(effect, Say)] == []


def test_an_answer_forgives_earlier_silence():
    scene = Scene().greet()
    scene.wait(8.5)
    scene.speak("Still there?")
    scene.played()
    scene.hear("Yes!")
    scene.speak("Good.")
    scene.played()

    asked = scene.wait(8.5)

    assert [effect.text for effect in asked if isinstance(effect, Say)] == ["Still there?"]


def test_a_carrier_that_returns_no_marks_does_not_stop_the_clock():
    scene = Scene().ready()
    scene.speak("Hello.")

    asked = scene.wait(1 + MARK_GRACE_S + 8.1)

    assert Say("Still there?", "queue") in asked


def test_a_caller_who_never_stops_speaking_counts_as_silent_in_the_end():
    scene = Scene().greet()
    scene.engine(ev.UserStartedSpeaking())

    asked = scene.wait(LONGEST_TURN_S + 8.5)

    assert Say("Still there?", "queue") in asked


def test_after_a_cough_the_agent_takes_the_conversation_up_again():
    scene = Scene().ready()
    scene.speak("A long sentence.", SECOND * 5)
    scene.now += 1
    scene.engine(ev.UserStartedSpeaking())

    asked = scene.wait(WORDLESS_TURN_S + 0.1)

    assert [effect for effect in asked if isinstance(effect, Say)] == [Say("We were cut off.", "queue")]


def test_the_greeting_survives_a_first_connection_that_fails():
    scene = Scene()
    scene.engine(ev.Failed("HANDSHAKE_429", "", retryable=True))

    assert scene.of(Reconnect) == [Reconnect((), "Hello.")]
    assert scene.engine(ev.Ready()) == []
    scene.speak("Hello.")
    assert scene.events(EventKind.WATCHDOG) == []


def test_connecting_takes_no_longer_than_one_silence_may_last():
    scene = Scene()
    scene.now += 3
    scene.engine(ev.Failed("CONNECT_TIMEOUT", "", retryable=True))

    scene.wait(2.1)

    assert scene.finish == Finish(NextStep.FALL_BACK, EndedReason.PROVIDER_FAILED)


# --- the watchdog ----------------------------------------------------------------------------------------------------


def test_an_agent_that_does_not_answer_is_replaced_with_the_history_and_the_question_asked_again():
    scene = Scene().greet()
    scene.hear("Are you open?")

    asked = scene.wait(5.1)

    assert scene.events(EventKind.WATCHDOG)
    assert [effect for effect in asked if isinstance(effect, Reconnect)] == [Reconnect(said(("assistant", "Hello.")))]
    assert scene.engine(ev.Ready())[-1] == UserSays("Are you open?")


def test_a_question_asked_again_is_not_written_twice():
    scene = Scene().greet()
    scene.hear("Are you open?")
    scene.wait(5.1)
    scene.ready()

    scene.engine(ev.Transcript("user", "Are you open?"))

    assert [message.text for message in scene.of(AddMessage)] == ["Hello.", "Are you open?"]


def test_a_greeting_that_never_comes_is_a_stall():
    scene = Scene().ready()

    asked = scene.wait(5.1)

    assert any(isinstance(effect, Reconnect) for effect in asked)


def test_an_agent_cut_off_in_mid_sentence_comes_back_with_an_apology():
    scene = Scene().ready()
    scene.engine(ev.Transcript("assistant", "Our prices are"))
    scene.audio()
    scene.engine(ev.Failed("CONNECTION_LOST", "", retryable=True))

    assert scene.engine(ev.Ready())[-1] == Say("We were cut off.", "queue")


def test_an_idle_agent_is_replaced_without_a_word():
    scene = Scene().greet()
    scene.engine(ev.Failed("MAXIMUM_SESSION_LENGTH_REACHED", "", retryable=True))

    assert [effect for effect in scene.engine(ev.Ready()) if not isinstance(effect, AddEvent)] == []


def test_three_failures_within_a_minute_go_to_the_fallback():
    scene = Scene().greet()
    for _ in range(2):
        scene.engine(ev.Failed("INTERNAL_SERVER_ERROR", "", retryable=True))
        scene.ready()

    scene.engine(ev.Failed("INTERNAL_SERVER_ERROR", "", retryable=True))

    assert scene.finish == Finish(NextStep.FALL_BACK, EndedReason.PROVIDER_FAILED)
    assert scene.bridge.phase is Phase.CLOSED


def test_failures_far_apart_are_forgiven():
    scene = Scene(limits=make_plan().limits).greet()
    for _ in range(4):
        scene.engine(ev.Failed("SERVER_GOING_AWAY", "", retryable=True))
        scene.ready()
        scene.hear("Hello?")
        scene.speak("Yes.")
        scene.now += RECONNECT_WINDOW_S + 1

    assert scene.finish is None


def test_a_faulty_configuration_is_not_tried_again():
    scene = Scene()

    scene.engine(ev.Failed("INVALID_SETTINGS", "agent.think", retryable=False))

    assert scene.of(Reconnect) == []
    assert scene.finish == Finish(NextStep.FALL_BACK, EndedReason.PROVIDER_FAILED)


def test_a_resumed_call_apologises():
    scene = Scene(stream_number=2)

    assert scene.engine(ev.Ready())[-1] == Say("We were cut off.", "queue")


def test_a_caller_who_was_told_why_hears_no_apology():
    assert Scene(stream_number=2, is_told=True).engine(ev.Ready()) == []


def test_a_resumed_call_answers_the_question_that_was_open():
    plan = make_plan()
    scene = Scene(stream_number=2, engine=type(plan.engine)(**{**_fields(plan.engine), "history": said(("user", "Open?"))}))

    assert scene.engine(ev.Ready())[-1] == UserSays("Open?")


def _fields(item: Any) -> dict[str, Any]:
    return {name: getattr(item, name) for name in item.__dataclass_fields__}


# --- tools -----------------------------------------------------------------------------------------------------------


def test_a_tool_is_run_and_answered():
    scene = Scene().greet()
    scene.hear("Look it up.")
    request = ev.ToolRequest("call_1", "look_up", "{}")

    effects = scene.engine(ev.ToolRequests((request,)))
    assert effects[-1] == RunTool(request)

    effects = scene.tool_done('{"found": 1}')
    assert effects[-1] == AnswerTool(request, '{"found": 1}')
    assert [event.detail["result"] for event in scene.events(EventKind.TOOL_RESULT)] == ['{"found": 1}']


def test_an_irreversible_tool_waits_until_the_callers_turn_has_ended():
    scene = Scene().greet()
    scene.engine(ev.UserStartedSpeaking())

    assert scene.of(RunTool) == []
    scene.engine(call_tool("end_call"))
    assert scene.of(RunTool) == []

    scene.engine(ev.Transcript("user", "Goodbye."))
    assert [effect.request.name for effect in scene.of(RunTool)] == ["end_call"]


def test_a_held_tool_that_is_cancelled_never_runs():
    scene = Scene().greet()
    scene.engine(ev.UserStartedSpeaking())
    scene.engine(call_tool("end_call"))

    scene.engine(ev.ToolsCancelled(("call_1",)))
    scene.engine(ev.Transcript("user", "Goodbye is what my mother said."))

    assert scene.of(RunTool) == []
    assert scene.events(EventKind.TOOL_CANCELLED)


def test_a_held_tool_is_given_up_when_the_turn_does_not_end():
    scene = Scene().greet()
    scene.engine(ev.UserStartedSpeaking())
    scene.engine(call_tool("end_call"))

    asked = scene.wait(HELD_TOOL_S + 0.1)

    assert [effect.request.id for effect in asked if isinstance(effect, AnswerTool)] == ["call_1"]
    assert scene.of(RunTool) == []


def test_a_running_tool_that_is_cancelled_is_stopped_and_its_late_answer_dropped():
    scene = Scene().greet()
    scene.hear("Look it up.")
    scene.engine(call_tool("look_up"))
    (begun,) = scene.of(RunTool)

    assert scene.engine(ev.ToolsCancelled(("call_1",)))[-1] == CancelTool(begun.request.key)
    assert scene.tool_done("late") == []


def test_cancelling_an_unknown_call_does_nothing():
    assert Scene().greet().engine(ev.ToolsCancelled(("call_9",))) == []


def test_the_agent_may_not_dawdle_after_a_tools_answer():
    scene = Scene().greet()
    scene.hear("Look it up.")
    scene.engine(call_tool("look_up"))
    assert [effect for effect in scene.wait(30) if isinstance(effect, Reconnect)] == []  # tools have limits of their own

    scene.tool_done()

    assert any(isinstance(effect, Reconnect) for effect in scene.wait(5.1))


# --- ending ----------------------------------------------------------------------------------------------------------


def end_by_tool(scene: Scene, name: str = "end_call", after: AfterTurn | None = None) -> None:
    scene.hear("Goodbye.")
    scene.engine(call_tool(name))
    scene.tool_done(after=after or AfterTurn("hang-up"))


def test_the_agents_goodbye_is_played_to_its_end_before_hanging_up():
    scene = Scene().greet()
    end_by_tool(scene)

    scene.speak("Goodbye!", SECOND * 2)
    assert scene.finish is None
    scene.played()

    assert scene.finish == Finish(NextStep.HANG_UP, EndedReason.AGENT_HUNG_UP)


def test_hanging_up_does_not_wait_for_a_mark_that_never_comes():
    scene = Scene().greet()
    end_by_tool(scene)
    scene.speak("Goodbye!", SECOND * 2)

    scene.wait(2 + MARK_GRACE_S + 0.1)

    assert scene.finish == Finish(NextStep.HANG_UP, EndedReason.AGENT_HUNG_UP)


def test_an_agent_without_a_goodbye_is_not_waited_for():
    scene = Scene().greet()
    end_by_tool(scene)

    scene.wait(FAREWELL_WAIT_S + 0.1)

    assert scene.finish == Finish(NextStep.HANG_UP, EndedReason.AGENT_HUNG_UP)


def test_a_goodbye_said_before_the_tool_was_called_is_not_waited_for_again():
    scene = Scene().greet()
    scene.hear("Goodbye.")
    scene.speak("Goodbye!", SECOND)
    scene.engine(call_tool("end_call"))
    scene.tool_done(after=AfterTurn("hang-up"))

    scene.played()
    scene.wait(SPOKEN_WAIT_S + 0.1)

    assert scene.finish == Finish(NextStep.HANG_UP, EndedReason.AGENT_HUNG_UP)


def test_a_transfer_finishes_with_the_number_once_the_sentence_is_over():
    scene = Scene().greet()
    end_by_tool(scene, "transfer_to_person", AfterTurn("transfer", "+15550999", "asked for a person"))

    scene.speak("One moment.")
    scene.played()

    assert scene.finish == Finish(
        NextStep.TRANSFER, None, "+15550999", "asked for a person"
    )  # why it ended, the person decides
    assert scene.events(EventKind.TRANSFER)[0].detail == {"to": "+15550999", "note": "asked for a person"}


def test_a_provider_that_fails_during_the_goodbye_does_not_change_the_end():
    scene = Scene().greet()
    end_by_tool(scene)
    for _ in range(3):
        scene.engine(ev.Failed("INTERNAL_SERVER_ERROR", "", retryable=True))
        scene.ready()

    assert scene.finish == Finish(NextStep.HANG_UP, EndedReason.AGENT_HUNG_UP)


def test_the_agent_is_warned_and_the_call_ended_at_its_longest_length():
    scene = Scene(limits=type(make_plan().limits)(120, 60, 200, 300, 5)).greet()

    asked = scene.wait(61)
    assert [effect for effect in asked if isinstance(effect, ReplacePrompt)] == [ReplacePrompt("Be kind.\n\nWrap up.")]

    asked = scene.wait(60)
    assert Say("Time is up.", "interrupt") in asked
    scene.speak("Time is up.")
    scene.played()
    assert scene.finish == Finish(NextStep.HANG_UP, EndedReason.LENGTH_LIMIT)


def test_a_resumed_calls_length_counts_from_its_first_answer():
    scene = Scene(limits=type(make_plan().limits)(120, 0, 200, 300, 500), elapsed_s=100.0).ready()

    assert any(isinstance(effect, Say) and effect.text == "Time is up." for effect in scene.wait(21))


def test_a_stop_is_the_caller_hanging_up():
    scene = Scene().greet()

    scene.carrier(messages.Stop())

    assert scene.finish == Finish(None, EndedReason.CALLER_HUNG_UP)
    assert scene.engine(ev.Transcript("assistant", "too late")) == []
    assert scene.bridge.deadline() == float("inf")


# --- people and keys -------------------------------------------------------------------------------------------------


def test_a_member_can_have_something_said():
    scene = Scene().greet()

    effects = scene.take(scene.bridge.say("A colleague is on the way.", scene.now))

    assert effects[-1] == Say("A colleague is on the way.", "interrupt")
    assert scene.events(EventKind.OPERATOR)[0].detail == {"said": "A colleague is on the way."}


def test_a_member_can_hang_up():
    scene = Scene().greet()

    scene.take(scene.bridge.hang_up(scene.now))

    assert scene.finish == Finish(NextStep.HANG_UP, EndedReason.OPERATOR_HUNG_UP)


def test_a_refused_sentence_is_tried_again():
    scene = Scene().greet()
    scene.take(scene.bridge.say("Hold on.", scene.now))

    scene.engine(ev.SayRefused())

    assert Say("Hold on.", "interrupt") in scene.wait(REFUSED_RETRY_S + 0.1)


def test_a_sentence_that_is_always_refused_is_given_up():
    scene = Scene().greet()
    scene.take(scene.bridge.say("Hold on.", scene.now))

    for _ in range(REFUSED_RETRIES + 3):
        scene.engine(ev.SayRefused())
        scene.wait(REFUSED_RETRY_S + 0.05)

    assert len([effect for effect in scene.of(Say) if effect.text == "Hold on."]) == REFUSED_RETRIES + 1


def test_each_refused_sentence_has_tries_of_its_own():
    scene = Scene().greet()
    for text in ("Hold on.", "One moment."):
        scene.take(scene.bridge.say(text, scene.now))
        for _ in range(REFUSED_RETRIES + 1):
            scene.engine(ev.SayRefused())
            scene.wait(REFUSED_RETRY_S + 0.05)

    assert len([effect for effect in scene.of(Say) if effect.text == "One moment."]) == REFUSED_RETRIES + 1


def test_a_refused_sentence_is_not_lost_to_the_next_one():
    scene = Scene().greet()
    scene.take(scene.bridge.say("Hold on.", scene.now))
    scene.engine(ev.SayRefused())
    scene.take(scene.bridge.say("One moment.", scene.now))

    assert Say("Hold on.", "interrupt") in scene.wait(REFUSED_RETRY_S + 0.1)


def test_typed_text_is_the_callers_turn_and_written_once():
    scene = Scene().ready()
    scene.speak("A long story.", SECOND * 9)

    scene.take(scene.bridge.user_text("Are you open?", scene.now))
    scene.engine(ev.Transcript("user", "Are you open?"))

    assert scene.sent[-1]["event"] == "clear"
    assert scene.of(UserSays) == [UserSays("Are you open?")]
    assert [message.text for message in scene.of(AddMessage) if message.role == "user"] == ["Are you open?"]


def test_keys_are_gathered_and_told_to_the_agent():
    scene = Scene().greet()
    for digit in "12":
        scene.carrier(messages.Dtmf(digit))
        scene.now += 0.5

    asked = scene.wait(2)

    assert [effect for effect in asked if isinstance(effect, UserSays)] == [UserSays("Pressed 12.")]
    assert [event.detail["digit"] for event in scene.events(EventKind.DTMF)] == ["1", "2"]


def test_the_hash_key_ends_a_number_at_once():
    scene = Scene().greet()
    scene.carrier(messages.Dtmf("7"))
    scene.carrier(messages.Dtmf("#"))

    assert UserSays("Pressed 7.") in scene.wait(0.1)


@pytest.mark.parametrize(
    "begins",
    [
        lambda s: s.engine(ev.UserStartedSpeaking()),
        lambda s: s.carrier(messages.Dtmf("1")),
        lambda s: s.take(s.bridge.user_text("Wait.", s.now)),
    ],
    ids=["voice", "key", "typed"],
)
def test_the_callers_turn_interrupts_however_it_begins(begins):
    scene = Scene().ready()
    scene.speak("For sales, press one. For support, press two. For opening hours, press three.", SECOND * 7)
    scene.now += 2

    begins(scene)

    assert scene.sent[-1] == {"event": "clear", "streamSid": "MZ1"}
    assert [event.detail for event in scene.events(EventKind.BARGE_IN)] == [{"unheard_ms": 5000}]
    assert [(part.sequence, part.share) for part in scene.of(AddHeard)] == [(scene.of(AddMessage)[0].sequence, 0.29)]


def test_a_key_is_told_to_the_agent_and_its_answer_is_heard():
    scene = Scene().ready()
    scene.speak("A long menu.", SECOND * 7)
    scene.carrier(messages.Dtmf("1"))
    assert not scene.audio(FRAME)  # the rest of the menu

    assert UserSays("Pressed 1.") in scene.wait(1.6)

    assert scene.audio(FRAME)
    assert scene.wait(0.5) == []


def test_an_answer_heard_to_its_end_is_not_marked():
    scene = Scene().greet()
    scene.speak("We open at nine.")
    scene.played()

    scene.hear("Thanks.")

    assert scene.of(AddHeard) == []


def test_sentences_of_an_interrupted_answer_that_come_late_were_not_heard():
    scene = Scene().ready()
    scene.speak("One.", SECOND * 2)
    scene.now += 1
    scene.engine(ev.UserStartedSpeaking())
    scene.engine(ev.Transcript("assistant", "Two."))

    one, two = scene.of(AddMessage)
    assert [(part.sequence, part.share) for part in scene.of(AddHeard)] == [(one.sequence, 0.5), (two.sequence, 0.0)]


# --- endings that compete -----------------------------------------------------------------------------------------

TRANSFER = AfterTurn("transfer", "+15550999", "asked for a person")
HANG_UP = AfterTurn("hang-up")
CONSULT = AfterTurn("consult", note="Which form?")


def ask(scene: Scene, *names: str, ids: tuple[str, ...] = ()) -> None:
    ids = ids or tuple(f"call_{number}" for number in range(len(names)))
    scene.engine(ev.ToolRequests(tuple(ev.ToolRequest(one, name, "{}") for one, name in zip(ids, names, strict=True))))


@pytest.mark.parametrize("order", [(TRANSFER, HANG_UP), (HANG_UP, TRANSFER), (TRANSFER, TRANSFER, HANG_UP)])
def test_whoever_is_to_be_put_through_is_whatever_else_was_asked_for_in_the_same_breath(order):
    scene = Scene().greet()
    scene.hear("A person, please. Goodbye.")
    ask(scene, *("x" for _ in order))
    for number, wanted in enumerate(order):
        scene.tool_done(after=wanted, number=number)

    scene.speak("One moment.")
    scene.played()

    assert scene.finish == Finish(NextStep.TRANSFER, None, "+15550999", "asked for a person")
    assert len(scene.of(AnswerTool)) == len(order)
    assert len(scene.events(EventKind.TRANSFER)) == 1


@pytest.mark.parametrize("order", [(CONSULT, HANG_UP), (HANG_UP, CONSULT)])
def test_an_agent_that_asks_specialists_does_not_hang_up_meanwhile(order):
    scene = Scene().greet()
    scene.hear("Which form do I need?")
    ask(scene, "x", "y")
    for number, wanted in enumerate(order):
        scene.tool_done(after=wanted, number=number)

    assert scene.bridge.phase is Phase.TALKING


def test_an_agent_may_hang_up_after_a_consultation_of_an_earlier_turn():
    scene = Scene().greet()
    scene.hear("Which form do I need?")
    ask(scene, "x")
    scene.tool_done(after=CONSULT)
    scene.hear("Never mind. Goodbye.")
    ask(scene, "y")
    scene.tool_done(after=HANG_UP)

    assert scene.bridge.phase is Phase.CLOSING


def goodbye(scene: Scene) -> Scene:
    scene.hear("Goodbye.")
    ask(scene, "end_call")
    scene.tool_done(after=HANG_UP)
    scene.speak("Thank you for calling. Goodbye!", SECOND * 3)
    scene.now += 1
    return scene


@pytest.mark.parametrize(
    "goes_on",
    [
        lambda s: s.hear("Wait!"),
        lambda s: s.take(s.bridge.user_text("Wait!", s.now)),
        lambda s: (s.carrier(messages.Dtmf("1")), s.wait(1.6)),
    ],
    ids=["voice", "typed", "key"],
)
def test_a_caller_who_goes_on_takes_the_goodbye_back(goes_on):
    scene = goodbye(Scene().greet())

    goes_on(scene)
    scene.speak("Yes? I am still here.")
    scene.played()
    scene.wait(3)

    assert scene.finish is None
    assert scene.bridge.phase is Phase.TALKING
    end_by_tool(scene)
    scene.speak("Goodbye then.")
    scene.played()
    assert scene.finish == Finish(NextStep.HANG_UP, EndedReason.AGENT_HUNG_UP)


def test_a_caller_who_takes_a_long_breath_into_the_goodbye_is_not_cut_off():
    scene = goodbye(Scene().greet())
    scene.engine(ev.UserStartedSpeaking())

    scene.wait(10)
    assert scene.finish is None
    scene.engine(ev.Transcript("user", "Wait, there is one more thing, and it is a long story."))

    assert scene.bridge.phase is Phase.TALKING


def test_a_noise_into_the_goodbye_leaves_it_as_it_is():
    scene = goodbye(Scene().greet())
    scene.engine(ev.UserStartedSpeaking())

    scene.wait(GOING_ON_S + 0.1)

    assert scene.finish == Finish(NextStep.HANG_UP, EndedReason.AGENT_HUNG_UP)


def test_words_of_the_turn_that_led_to_the_goodbye_do_not_take_it_back():
    scene = Scene().greet()
    end_by_tool(scene)

    scene.engine(ev.Transcript("user", "Bye bye."))  # the second piece of one turn

    assert scene.bridge.phase is Phase.CLOSING


def test_somebody_silent_who_speaks_after_all_is_not_hung_up_on():
    scene = Scene().greet()
    scene.wait(8.1)
    scene.speak("Still there?")
    scene.played()
    scene.wait(12.1)
    assert scene.bridge.phase is Phase.CLOSING

    scene.hear("I am here!")

    assert scene.bridge.phase is Phase.TALKING


def test_a_limits_goodbye_stands_whatever_the_caller_says():
    scene = Scene(limits=replace(make_plan().limits, max_call_s=30, silence_prompt_s=100)).greet()
    scene.wait(31)
    scene.speak("Time is up.")

    scene.hear("Wait!")
    scene.take(scene.bridge.user_text("Wait!", scene.now))
    scene.carrier(messages.Dtmf("1"))
    scene.wait(25)

    assert scene.finish == Finish(NextStep.HANG_UP, EndedReason.LENGTH_LIMIT)


def test_a_transfer_stands_when_the_caller_speaks_into_its_sentence():
    scene = Scene().greet()
    end_by_tool(scene, "transfer_to_person", TRANSFER)
    scene.speak("One moment, I'll put you through.")
    scene.now += 0.5

    scene.hear("Okay.")
    scene.wait(25)

    assert scene.finish is not None
    assert scene.finish.step is NextStep.TRANSFER


# --- requests without ids of their own, and tools that take long --------------------------------------------------


@pytest.mark.parametrize("ids", [("", ""), ("call_0", "call_0")])
def test_every_call_is_answered_under_the_name_and_id_it_came_with(ids):
    scene = Scene().greet()
    scene.hear("Look both up.")
    ask(scene, "first", "second", ids=ids)

    scene.tool_done("2", number=1)
    scene.tool_done("1", number=0)

    given = [(one.request.id, one.request.name, one.content) for one in scene.of(AnswerTool)]
    assert given == [(ids[0], "first", "1"), (ids[1], "second", "2")]
    assert any(isinstance(effect, Reconnect) for effect in scene.wait(5.1))  # and now the agent owes an answer


def test_an_agent_that_goes_on_speaking_after_a_tools_answer_is_not_late():
    scene = Scene().greet()
    scene.hear("Look it up.")
    scene.audio()  # "One moment." and no word that this turn is over
    ask(scene, "look_up")
    scene.tool_done()
    scene.audio(SECOND * 8)

    assert [effect for effect in scene.wait(7) if isinstance(effect, Reconnect)] == []


def test_a_caller_who_speaks_while_a_tool_works_does_not_make_the_agent_late():
    scene = Scene().greet()
    scene.hear("Look it up.")
    ask(scene, "look_up")
    scene.wait(4)
    scene.hear("Are you still there?")

    assert [effect for effect in scene.wait(20) if isinstance(effect, Reconnect | AddEvent)] == []
    scene.tool_done("Found.")

    assert [one.content for one in scene.of(AnswerTool)] == ["Found."]


def lose(scene: Scene) -> Reconnect:
    scene.engine(ev.Failed("CONNECTION_LOST", "", retryable=True))
    reconnect: Reconnect = scene.of(Reconnect)[-1]
    return reconnect


@pytest.mark.parametrize("is_ready_first", [True, False])
def test_a_tool_that_outlives_its_session_has_its_result_put_to_the_next(is_ready_first):
    scene = Scene().greet()
    scene.hear("Book the table.")
    ask(scene, "book")
    assert lose(scene).history[-1].text == "Book the table."
    assert scene.of(CancelTool) == []

    if is_ready_first:
        scene.ready()
        assert scene.of(UserSays) == []  # without the result it would only ask for the same again
    scene.tool_done('{"booked": true}')
    if not is_ready_first:
        scene.ready()

    assert scene.of(AnswerTool) == []
    assert json.loads(scene.of(ReplacePrompt)[-1].prompt.split("\n\n")[-1])["result"] == '{"booked": true}'
    assert scene.of(UserSays) == [UserSays("Book the table.")]
    scene.speak("Your table is booked.")
    scene.played()
    lose(scene)
    assert scene.ready().of(UserSays) == [UserSays("Book the table.")]  # told once


def test_an_answer_that_waited_for_its_turn_is_not_lost_with_the_session():
    scene = Scene().greet()
    scene.hear("Look both up.")
    ask(scene, "first", "second", ids=("", ""))
    scene.tool_done("2", number=1)
    lose(scene)
    scene.tool_done("1", number=0)
    scene.ready()

    results = [json.loads(note)["result"] for note in scene.of(ReplacePrompt)[-1].prompt.split("\n\n")[1:]]
    assert sorted(results) == ["1", "2"]


def test_a_transfer_decided_while_the_session_is_lost_is_made():
    scene = Scene().greet()
    scene.hear("A person, please.")
    ask(scene, "transfer_to_person")
    lose(scene)
    scene.tool_done(after=TRANSFER)
    scene.ready()
    scene.wait(5)

    assert scene.finish == Finish(NextStep.TRANSFER, None, "+15550999", "asked for a person")


def test_instructions_given_while_connecting_reach_the_agent_once_it_listens():
    scene = Scene()
    assert scene.take(scene.bridge.instruct("Be brief.")) == []

    scene.ready()

    assert scene.of(ReplacePrompt) == [ReplacePrompt("Be kind.\n\nBe brief.")]


def test_words_put_to_a_new_session_do_not_swallow_the_callers_own():
    scene = Scene().greet()
    scene.hear("Yes.")
    lose(scene)
    scene.ready()
    assert scene.of(UserSays) == [UserSays("Yes.")]  # and this provider repeats nothing
    scene.speak("Shall I book it?")
    scene.played()

    scene.hear("Yes.")

    assert [one.text for one in scene.of(AddMessage) if one.role == "user"] == ["Yes.", "Yes."]


# --- odds and ends ---------------------------------------------------------------------------------------------------


def test_warnings_are_noted_and_the_call_goes_on():
    scene = Scene().greet()

    scene.engine(ev.Notice("PROMPT_TOO_LONG", "cut"))

    assert [event.detail for event in scene.events(EventKind.WARNING)] == [
        {"code": "PROMPT_TOO_LONG", "description": "cut"}
    ]
    assert scene.finish is None


@pytest.mark.parametrize(
    "feed", [lambda s: s.engine(ev.UnknownEvent("Sparkle")), lambda s: s.carrier(messages.Unknown("sparkle"))]
)
def test_unknown_messages_are_counted_and_noted_once(feed):
    scene = Scene().greet()

    for _ in range(3):
        feed(scene)

    assert len(scene.events(EventKind.UNKNOWN_MESSAGE)) == 1
    assert 3 in scene.bridge.record.counts.values()


def test_a_closed_bridge_takes_nothing_more():
    scene = Scene().greet()
    scene.take(scene.bridge.hang_up(scene.now))
    before = len(scene.effects)

    scene.engine(ev.Transcript("user", "Hello?"))
    scene.engine(call_tool("end_call"))
    scene.wait(600)

    assert len(scene.effects) == before
