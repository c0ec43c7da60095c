"""The conversation between a caller and an agent, as a state machine: events in, effects out. No I/O, no clock.

Theory of operation. `now` is a monotonic time in seconds and comes in with every call; `deadline()` says when
`on_time()` wants to be called at the latest. Audio has a way of its own (`agent_audio`), one call a frame.

    CONNECTING ──Ready──▶ TALKING ──end_call, limit, goodbye──▶ CLOSING ──agent finished──▶ CLOSED
        ▲                    │ Failed, stalled
        └────Reconnect───────┘            (too often: CLOSED, and on to the fallback number or voicemail)

*What is playing.* The carrier buffers what we send and returns a mark when playback reaches it, or at once when the
buffer is cleared. A mark's name carries the generation it was sent in; `clear` starts a new one, so old marks say
nothing. `play_until` estimates the playhead for a carrier that never returns a mark.

*Barge-in.* `UserStartedSpeaking` clears the carrier's buffer at once. Audio of the interrupted turn may still be on
its way from the provider: it is dropped until something shows that a new turn has begun.

*Who is to speak.* After the caller's turn, an injected sentence or an answered tool, the agent owes us audio; when it
does not come within `max_dead_air_s`, the provider has stalled. When nobody owes anything, silence is the caller's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from agents.tools import AfterTurn
from billing.enums import Level
from telephony.audio import SAMPLE_RATE_HZ
from telephony.dtmf import Keypad
from telephony.effects import (
    AddEvent,
    AddLatency,
    AddMessage,
    AnswerTool,
    CancelTool,
    Effect,
    Finish,
    Reconnect,
    ReplacePrompt,
    RunTool,
    Say,
    SendCarrier,
    UserSays,
)
from telephony.engines.base import (
    AgentDone,
    AgentThinking,
    Behavior,
    Event,
    Failed,
    Latency,
    Notice,
    Ready,
    SayRefused,
    ToolRequest,
    ToolRequests,
    ToolsCancelled,
    Transcript,
    UnknownEvent,
    UserStartedSpeaking,
    Utterance,
    Welcome,
)
from telephony.enums import EndedReason, EventKind, NextStep
from telephony.plan import CallPlan
from telephony.spending import Spending, Stage
from telephony.twilio import messages
from telephony.twilio.messages import MediaWriter

SEQUENCES_PER_STREAM = 1_000_000  # each stream numbers its entries in a range of its own

RECONNECTS_IN_WINDOW = 2
RECONNECT_WINDOW_S = 60.0
STALE_AUDIO_S = 2.0  # after an interruption, audio this late cannot belong to the interrupted turn any more
STALE_TEXT_S = 0.5
LONGEST_TURN_S = 30.0  # of a caller of whom nothing more is heard: then it counts as silence
WORDLESS_TURN_S = 7.0  # the same, after the agent was interrupted and stays silent for it
HELD_TOOL_S = 5.0
FAREWELL_WAIT_S = 4.0  # for the agent to begin its goodbye, once it has asked to end the call
SPOKEN_WAIT_S = 2.5  # the same, when it said something in this turn before it asked
CLOSING_LIMIT_S = 20.0
MARK_GRACE_S = 1.5  # beyond the estimated end of playback, for a mark that does not come
REFUSED_RETRY_S = 1.0
REFUSED_RETRIES = 5


class Phase(Enum):
    CONNECTING = auto()
    TALKING = auto()
    CLOSING = auto()
    CLOSED = auto()


@dataclass(slots=True)
class _Closing:
    step: NextStep
    reason: EndedReason | None
    to_number: str
    note: str
    since: float
    has_spoken: bool = False  # audio came since the closing began
    turn_done: bool = False


@dataclass(slots=True)
class _Turn:
    """The exchange under way: when the caller ended, and which message is the agent's answer."""

    user_ended_at: float | None = None
    answer_sequence: int | None = None
    answered: bool = False
    waiting_ms: dict[str, int] = field(default_factory=dict)


class Bridge:
    def __init__(self, plan: CallPlan, *, stream_sid: str, now: float) -> None:
        self.plan = plan
        self.phase = Phase.CONNECTING
        self.history: list[Utterance] = list(plan.engine.history)
        self.writer = MediaWriter(stream_sid)
        self.sequence = plan.stream_number * SEQUENCES_PER_STREAM
        self.counts: dict[str, int] = {}
        self._started_at = now - plan.elapsed_s
        # playback
        self.generation = 0
        self._marks_out = 0
        self._marks_sent = 0
        self.play_until = now
        self._muted_at: float | None = None
        self._agent_mid_turn = False
        self._interrupted = False
        # turns
        self._user_speaking_since: float | None = None
        self._agent_owes_since: float | None = None
        self._last_activity = now
        self._silence_prompts = 0
        self._turn = _Turn()
        self._keypad = Keypad()
        self._refused: tuple[Say, float, int] | None = None
        self._last_say: Say | None = None
        # Texts we put into the caller's mouth: providers repeat them as if they had been heard.
        self._injected: list[str] = []
        # tools
        self._running: dict[str, ToolRequest] = {}
        self._held: dict[str, tuple[ToolRequest, float]] = {}
        # the end
        self._closing: _Closing | None = None
        self._warned_of_length = False
        self._reconnects: list[float] = []
        self._connecting_since: float | None = now
        self._cut_off_mid_turn = False
        # specialists who join
        self.floor_is_held = False  # somebody else's turn: silence is as it should be
        self._notes: dict[str, str] = {}  # added to the prompt, by whoever wrote them
        self._spending = Spending(plan.spending, started_at=self._started_at) if plan.spending else None

    # --- audio: one call a frame ---------------------------------------------------------------------------------

    def agent_audio(self, audio: bytes, now: float) -> str | None:
        """Return the wire text that plays agent audio, or None for audio of a turn that was interrupted."""
        if self._muted_at is not None:
            if now - self._muted_at < STALE_AUDIO_S:
                self._count("stale-frames")
                return None
            self._muted_at = None
        if not self._agent_mid_turn:
            self._begin_agent_turn(now)
        played_until = self.play_until
        self.play_until = (played_until if played_until > now else now) + len(audio) / SAMPLE_RATE_HZ
        return self.writer.media(audio)

    def _begin_agent_turn(self, now: float) -> None:
        self._agent_mid_turn = True
        self._agent_owes_since = None
        if self._closing is not None:
            self._closing.has_spoken = True
        if self._turn.user_ended_at is not None and not self._turn.answered:
            self._turn.answered = True
            self._turn.waiting_ms["total"] = round((now - self._turn.user_ended_at) * 1000)

    @property
    def is_playing(self) -> bool:
        return self._marks_out > 0 or self._agent_mid_turn

    # --- the carrier ---------------------------------------------------------------------------------------------

    def on_carrier(self, message: messages.Message, now: float) -> list[Effect]:
        match message:
            case messages.Mark(name=name):
                return self._on_mark(name, now)
            case messages.Dtmf(digit=digit):
                self._last_activity = now
                self._keypad.press(digit, now)
                return [self._event(EventKind.DTMF, {"digit": digit})]
            case messages.Stop():
                self.phase = Phase.CLOSED
                return [Finish(None, EndedReason.CALLER_HUNG_UP)]
            case messages.Unknown(event=event):
                return self._note_unknown(event)
        return []

    def _on_mark(self, name: str, now: float) -> list[Effect]:
        generation, _, _ = name.partition(":")
        if generation != str(self.generation) or not self._marks_out:
            return []  # played or cleared in an earlier generation: says nothing about now
        self._marks_out -= 1
        if not self._marks_out and not self._agent_mid_turn:
            self.play_until = min(self.play_until, now)
            self._last_activity = now
        return self._finish_when_spoken(now)

    # --- the engine ----------------------------------------------------------------------------------------------

    def on_engine(self, event: Event, now: float) -> list[Effect]:
        if self.phase is Phase.CLOSED:
            return []
        handler = _ENGINE_HANDLERS[type(event)]
        return self._with_latency(handler(self, event, now))

    def _on_welcome(self, event: Welcome, now: float) -> list[Effect]:
        return [self._event(EventKind.ENGINE_CONNECTED, {"request_id": event.request_id})]

    def _on_ready(self, event: Ready, now: float) -> list[Effect]:
        if self.phase is not Phase.CONNECTING:
            return []
        self._connecting_since = None
        self.phase = Phase.CLOSING if self._closing else Phase.TALKING
        self._last_activity = now
        if not self.history and not self.plan.is_resumed:
            if self.plan.engine.greeting:
                self._agent_owes_since = now
            return []
        return self._take_up_again(now)

    def _take_up_again(self, now: float) -> list[Effect]:
        """After a gap: put the caller's unanswered words to the agent again, else say that we are back."""
        if self._closing is not None:
            return self._say(self._last_say.text, "interrupt", now) if self._last_say else []
        if self.history and self.history[-1].role == "user":
            return [self._inject_user(self.history[-1].text, now)]
        if self._cut_off_mid_turn or (self.plan.is_resumed and not self._reconnects and not self.plan.is_told):
            return self._say(self.plan.texts.resume, "queue", now)
        return []

    def _on_transcript(self, event: Transcript, now: float) -> list[Effect]:
        self._last_activity = now
        if event.role == "assistant":
            message = self._message(event)
            if self._muted_at is not None and now - self._muted_at >= STALE_TEXT_S:
                self._muted_at = None
            if self._turn.answer_sequence is None:
                self._turn.answer_sequence = message.sequence
            return [message]
        self._begin_user_turn(now)
        if event.text in self._injected:
            self._injected.remove(event.text)
            return self._release_held(now)
        return [self._message(event), *self._release_held(now)]

    def _begin_user_turn(self, now: float) -> None:
        """The caller has said something, and it is the agent's turn."""
        self._interrupted = False
        self._muted_at = None
        self._user_speaking_since = None
        self._silence_prompts = 0
        self._turn = _Turn(user_ended_at=now)
        self._agent_mid_turn = False
        self._agent_owes_since = now

    def _inject_user(self, text: str, now: float) -> UserSays:
        self._injected = [*self._injected[-3:], text]
        self._begin_user_turn(now)
        return UserSays(text)

    def _on_user_started(self, event: UserStartedSpeaking, now: float) -> list[Effect]:
        audible = self.is_playing and self.play_until > now
        effects: list[Effect] = [SendCarrier(self.writer.clear())]
        self._interrupted = audible
        if audible:
            unheard_ms = round((self.play_until - now) * 1000)
            effects.append(self._event(EventKind.BARGE_IN, {"unheard_ms": unheard_ms}))
        self.generation += 1
        self._marks_out = 0
        self.play_until = now
        self._muted_at = now
        self._agent_mid_turn = False
        self._agent_owes_since = None
        self._user_speaking_since = now
        self._last_activity = now
        return effects

    def _on_thinking(self, event: AgentThinking, now: float) -> list[Effect]:
        if self._user_speaking_since is None:
            self._muted_at = None
        return []

    def _on_agent_done(self, event: AgentDone, now: float) -> list[Effect]:
        if self._muted_at is not None:
            return []  # the interrupted turn's end
        self._agent_mid_turn = False
        self._agent_owes_since = None
        if self._closing is not None and self._closing.has_spoken:
            self._closing.turn_done = True
        self._marks_sent += 1
        self._marks_out += 1
        return [SendCarrier(self.writer.mark(f"{self.generation}:{self._marks_sent}"))]

    def _on_latency(self, event: Latency, now: float) -> list[Effect]:
        self._turn.waiting_ms.update(event.values_ms)
        return []

    def _on_say_refused(self, event: SayRefused, now: float) -> list[Effect]:
        self._agent_owes_since = None
        if self._last_say is not None:
            tries = self._refused[2] + 1 if self._refused else 1
            if tries <= REFUSED_RETRIES:
                self._refused = (self._last_say, now + REFUSED_RETRY_S, tries)
        return []

    def _on_notice(self, event: Notice, now: float) -> list[Effect]:
        return [self._event(EventKind.WARNING, {"code": event.code, "description": event.description})]

    def _on_unknown(self, event: UnknownEvent, now: float) -> list[Effect]:
        return self._note_unknown(event.type)

    def _on_failed(self, event: Failed, now: float) -> list[Effect]:
        lost = self._event(EventKind.ENGINE_LOST, {"code": event.code, "description": event.description})
        if not event.retryable:
            return [lost, *self._fall_back()]
        return [lost, *self._reconnect(now, event.code)]

    # --- tools ---------------------------------------------------------------------------------------------------

    def _on_tool_requests(self, event: ToolRequests, now: float) -> list[Effect]:
        self._agent_owes_since = None
        self._last_activity = now
        effects: list[Effect] = []
        for request in event.requests:
            detail = {"id": request.id, "name": request.name, "arguments": request.arguments}
            effects.append(self._event(EventKind.TOOL_CALL, detail))
            if request.name in self.plan.irreversible_tools and self._user_speaking_since is not None:
                # The agent thinks ahead while the caller may still go on: nothing final happens before the turn ends.
                self._held[request.id] = (request, now + HELD_TOOL_S)
            else:
                effects.append(self._start_tool(request))
        return effects

    def _start_tool(self, request: ToolRequest) -> Effect:
        self._running[request.id] = request
        return RunTool(request)

    def _release_held(self, now: float) -> list[Effect]:
        held, self._held = self._held, {}
        return [self._start_tool(request) for request, _ in held.values()]

    def _on_tools_cancelled(self, event: ToolsCancelled, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for identifier in event.ids:
            held = self._held.pop(identifier, None)
            running = self._running.pop(identifier, None)
            if held or running:
                effects.append(self._event(EventKind.TOOL_CANCELLED, {"id": identifier}))
            if running:
                effects.append(CancelTool(identifier))
        return effects

    def tool_finished(
        self, request: ToolRequest, content: str, after_turn: AfterTurn | None, now: float, *, failed: bool = False
    ) -> list[Effect]:
        """Take a tool's answer. One that comes after its call was cancelled is dropped."""
        if self._running.pop(request.id, None) is None or self.phase is Phase.CLOSED:
            return []
        detail = {"id": request.id, "name": request.name, "result": content, "failed": failed}
        effects: list[Effect] = [self._event(EventKind.TOOL_RESULT, detail), AnswerTool(request, content)]
        if after_turn is None:
            self._agent_owes_since = now
            return effects
        if after_turn.action == "transfer":
            effects.append(self._event(EventKind.TRANSFER, {"to": after_turn.to_number, "note": after_turn.note}))
            # Whether anybody takes the call is known once the carrier has rung them: no reason yet.
            self._begin_closing(NextStep.TRANSFER, None, now, to_number=after_turn.to_number, note=after_turn.note)
        else:
            self._begin_closing(NextStep.HANG_UP, self._reason_to_end(), now)
        return effects

    def _reason_to_end(self) -> EndedReason:
        """An agent that was told to come to an end did not choose to."""
        told = self._spending is not None and self._spending.stage >= Stage.WINDING_DOWN
        return EndedReason.BUDGET_REACHED if told else EndedReason.AGENT_HUNG_UP

    # --- people who intervene ------------------------------------------------------------------------------------

    def say(self, text: str, now: float) -> list[Effect]:
        """A member has the agent say something now."""
        if self.phase is not Phase.TALKING:
            return []
        return [self._event(EventKind.OPERATOR, {"said": text}), *self._say(text, "interrupt", now)]

    def user_text(self, text: str, now: float) -> list[Effect]:
        """The caller of a test call typed instead of speaking."""
        if self.phase is not Phase.TALKING:
            return []
        cleared = [SendCarrier(self.writer.clear())] if self.is_playing else []
        self.generation += 1
        self._marks_out = 0
        self.play_until = now
        said = self._inject_user(text, now)
        return [*cleared, self._message(Transcript("user", text)), said]

    # --- specialists who join ------------------------------------------------------------------------------------

    @property
    def instructions(self) -> str:
        """What the agent reads now: its prompt, and the notes that were added to it."""
        return "\n\n".join(filter(None, [self.plan.engine.prompt, *self._notes.values()]))

    def instruct(self, note: str, *, about: str = "specialists") -> list[Effect]:
        """Put a note into the agent's instructions, in place of the one before about the same; "" takes it out."""
        if note == self._notes.get(about, ""):
            return []
        self._notes[about] = note
        return [ReplacePrompt(self.instructions)]

    def announce(self, text: str, behavior: Behavior, now: float) -> list[Effect]:
        """Have a sentence of the organisation's spoken."""
        return self._say(text, behavior, now) if self.phase is Phase.TALKING else []

    def prompt_turn(self, text: str, now: float) -> list[Effect]:
        """Have the agent speak, as if the caller had said something."""
        return [self._inject_user(text, now)] if self.phase is Phase.TALKING else []

    # --- money ---------------------------------------------------------------------------------------------------

    def budgets_stand_at(self, level: Level, now: float) -> list[Effect]:
        """Take the news of how far the organisation's budgets are used up."""
        if self._spending is None or self._closing is not None or self.phase is not Phase.TALKING:
            return []
        self._spending.told(level)
        return self._on_spending(now)

    def _on_spending(self, now: float) -> list[Effect]:
        assert self._spending is not None
        stage, plan = self._spending.advance(now), self._spending.plan
        if stage is None:
            return []
        noted = self._event(EventKind.BUDGET, {"stage": stage.name.lower()})
        if stage is Stage.WARNED:
            return [noted, *self.instruct(plan.warning_note, about="money")]
        if stage is Stage.WINDING_DOWN:
            told = self.instruct(plan.wind_down_note, about="money")
            # Whoever is speaking is let finish: the agent reads the note before its next sentence.
            is_quiet = self._user_speaking_since is None and not self.is_playing and self._agent_owes_since is None
            return [noted, *told, *(self.prompt_turn(plan.wind_down_note, now) if is_quiet else [])]
        effects = self._say(plan.goodbye, "interrupt", now)
        self._begin_closing(NextStep.HANG_UP, EndedReason.BUDGET_REACHED, now)
        return [noted, *effects]

    def hang_up(self, now: float) -> list[Effect]:
        self.phase = Phase.CLOSED
        return [
            self._event(EventKind.OPERATOR, {"hung_up": True}),
            Finish(NextStep.HANG_UP, EndedReason.OPERATOR_HUNG_UP),
        ]

    # --- time ----------------------------------------------------------------------------------------------------

    def deadline(self) -> float:
        """Return the monotonic time at which `on_time` must be called; it may be called earlier."""
        return min((at for at, _ in self._alarms()), default=math.inf)

    def on_time(self, now: float) -> list[Effect]:
        if self.phase is Phase.CLOSED:
            return []
        effects: list[Effect] = []
        for at, alarm in self._alarms():
            # One alarm may settle the others.
            if at <= now and not (effects and self.phase in (Phase.CLOSED, Phase.CONNECTING)):
                effects += alarm(now)
        return effects

    def _alarms(self) -> list[tuple[float, Callable[[float], list[Effect]]]]:
        limits = self.plan.limits
        alarms: list[tuple[float, Callable[[float], list[Effect]]]] = []
        if self.phase is Phase.CLOSED:
            return alarms
        if self._closing is not None:
            alarms.append((self._closing_deadline(self._closing), self._finish_now))
            return alarms
        end = self._started_at + limits.max_call_s
        alarms.append((end, self._on_length_limit))
        if not self._warned_of_length and limits.length_warning_s:
            alarms.append((end - limits.length_warning_s, self._on_length_warning))
        if self.phase is Phase.CONNECTING:
            if self._connecting_since is not None:
                alarms.append((self._connecting_since + limits.max_dead_air_s, self._on_unreachable))
            return alarms
        if self._spending is not None:
            alarms.append((self._spending.next_at(), self._on_spending))
        if self._keypad.deadline is not None:
            alarms.append((self._keypad.deadline, self._on_digits))
        if self._refused is not None:
            alarms.append((self._refused[1], self._on_say_again))
        alarms += [(until, self._on_held_too_long) for _, until in self._held.values()]
        if self._agent_owes_since is not None:
            alarms.append((self._agent_owes_since + limits.max_dead_air_s, self._on_stalled))
        elif self._user_speaking_since is not None and self._interrupted:
            alarms.append((self._user_speaking_since + WORDLESS_TURN_S, self._on_wordless_turn))
        elif self._user_speaking_since is not None:
            alarms.append((self._user_speaking_since + LONGEST_TURN_S, self._on_wordless_turn))
        elif not self._running and not self._held and not self.floor_is_held:
            alarms.append((self._quiet_since() + self._silence_limit(), self._on_silence))
        return alarms

    def _quiet_since(self) -> float:
        playing_until = self.play_until + (MARK_GRACE_S if self._marks_out else 0)
        return max(self._last_activity, playing_until)

    def _silence_limit(self) -> float:
        limits = self.plan.limits
        if self._silence_prompts == 0:
            return limits.silence_prompt_s
        return max(limits.silence_goodbye_s - limits.silence_prompt_s, 1.0)

    def _on_silence(self, now: float) -> list[Effect]:
        self._agent_mid_turn = False  # an agent that never said it was done counts as done once all has been played
        self._silence_prompts += 1
        if self._silence_prompts == 1:
            return [self._event(EventKind.SILENCE_PROMPT), *self._say(self.plan.texts.silence_prompt, "queue", now)]
        effects = self._say(self.plan.texts.silence_goodbye, "interrupt", now)
        self._begin_closing(NextStep.HANG_UP, EndedReason.CALLER_SILENT, now)
        return effects

    def _on_wordless_turn(self, now: float) -> list[Effect]:
        """A cough or a door stopped the agent, and no words followed: it takes the conversation up again."""
        self._user_speaking_since = None
        self._muted_at = None
        self._last_activity = now
        if self._interrupted:
            self._interrupted = False
            return self._say(self.plan.texts.resume, "queue", now)
        return []

    def _on_stalled(self, now: float) -> list[Effect]:
        return [
            self._event(EventKind.WATCHDOG, {"after_s": self.plan.limits.max_dead_air_s}),
            *self._reconnect(now, "STALLED"),
        ]

    def _on_unreachable(self, now: float) -> list[Effect]:
        """All attempts together get no more time than one silence may last."""
        after = {"code": "UNREACHABLE", "after_s": self.plan.limits.max_dead_air_s}
        return [self._event(EventKind.WATCHDOG, after), *self._fall_back()]

    def _on_held_too_long(self, now: float) -> list[Effect]:
        late = [request for request, until in self._held.values() if until <= now]
        effects: list[Effect] = []
        for request in late:
            del self._held[request.id]
            effects.append(self._event(EventKind.TOOL_CANCELLED, {"id": request.id, "reason": "the turn did not end"}))
            effects.append(AnswerTool(request, "Not done: the caller is still speaking."))
        return effects

    def _on_digits(self, now: float) -> list[Effect]:
        digits = self._keypad.take()
        return [self._inject_user(self.plan.texts.dtmf_note.replace("{digits}", digits), now)]

    def _on_say_again(self, now: float) -> list[Effect]:
        assert self._refused is not None
        say, _, tries = self._refused
        self._refused = (say, math.inf, tries)
        return self._say(say.text, say.behavior, now)

    def _on_length_warning(self, now: float) -> list[Effect]:
        self._warned_of_length = True
        told = self.instruct(self.plan.texts.length_warning_note, about="length")
        return [self._event(EventKind.LENGTH_WARNING), *told]

    def _on_length_limit(self, now: float) -> list[Effect]:
        effects = self._say(self.plan.texts.length_goodbye, "interrupt", now)
        self._begin_closing(NextStep.HANG_UP, EndedReason.LENGTH_LIMIT, now)
        return effects

    # --- the end -------------------------------------------------------------------------------------------------

    def _begin_closing(
        self, step: NextStep, reason: EndedReason | None, now: float, *, to_number: str = "", note: str = ""
    ) -> None:
        self._closing = _Closing(step, reason, to_number, note, since=now)
        self._agent_owes_since = None
        if self.phase is Phase.TALKING:
            self.phase = Phase.CLOSING

    def _closing_deadline(self, closing: _Closing) -> float:
        """When to hang up without having been told that the goodbye was played."""
        limit = closing.since + CLOSING_LIMIT_S
        if closing.turn_done:
            limit = max(self.play_until + MARK_GRACE_S, closing.since)
        elif not closing.has_spoken and not self.is_playing:
            # A goodbye before the tool was called is one; without any, the agent gets a moment to begin.
            patience = SPOKEN_WAIT_S if self._turn.answer_sequence is not None else FAREWELL_WAIT_S
            limit = max(closing.since, self.play_until) + patience
        return limit

    def _finish_when_spoken(self, now: float) -> list[Effect]:
        closing = self._closing
        if closing is None or self._marks_out or not closing.turn_done:
            return []
        return self._finish_now(now)

    def _finish_now(self, now: float) -> list[Effect]:
        assert self._closing is not None
        self.phase = Phase.CLOSED
        return [Finish(self._closing.step, self._closing.reason, self._closing.to_number, self._closing.note)]

    def _fall_back(self) -> list[Effect]:
        self.phase = Phase.CLOSED
        if self._closing is not None:  # the call was ending anyway
            return [Finish(self._closing.step, self._closing.reason, self._closing.to_number, self._closing.note)]
        return [Finish(NextStep.FALL_BACK, EndedReason.PROVIDER_FAILED)]

    def _reconnect(self, now: float, why: str) -> list[Effect]:
        self._reconnects = [at for at in self._reconnects if now - at < RECONNECT_WINDOW_S]
        if len(self._reconnects) >= RECONNECTS_IN_WINDOW:
            return [
                self._event(EventKind.ERROR, {"code": why, "after_reconnects": len(self._reconnects)}),
                *self._fall_back(),
            ]
        self._reconnects.append(now)
        self._cut_off_mid_turn = self._agent_mid_turn or self._agent_owes_since is not None
        self.phase = Phase.CONNECTING
        self._agent_mid_turn = False
        self._agent_owes_since = None
        self._user_speaking_since = None
        self._muted_at = None
        self._held.clear()
        cancelled: list[Effect] = [CancelTool(identifier) for identifier in self._running]
        self._running.clear()
        unanswered = bool(self.history) and self.history[-1].role == "user"
        said = self.history[:-1] if unanswered else self.history
        greeting = "" if self.history or self.plan.is_resumed else self.plan.engine.greeting
        if self._connecting_since is None:
            self._connecting_since = now
        return [*cancelled, self._event(EventKind.RECONNECT, {"why": why}), Reconnect(tuple(said), greeting)]

    # --- small things --------------------------------------------------------------------------------------------

    def _say(self, text: str, behavior: Any, now: float) -> list[Effect]:
        say = Say(text, behavior)
        self._last_say = say
        self._muted_at = None
        self._agent_owes_since = now if self._closing is None else None
        return [say]

    def _next_sequence(self) -> int:
        self.sequence += 1
        return self.sequence

    def _event(self, kind: EventKind, detail: dict[str, Any] | None = None) -> AddEvent:
        return AddEvent(self._next_sequence(), kind, detail or {})

    def note(self, kind: EventKind, detail: dict[str, Any] | None = None) -> AddEvent:
        """Something the consumer saw that belongs into the call's history."""
        return self._event(kind, detail)

    def _message(self, said: Transcript) -> AddMessage:
        self.history.append(Utterance(said.role, said.text))
        return AddMessage(self._next_sequence(), said.role, said.text)

    def _with_latency(self, effects: list[Effect]) -> list[Effect]:
        """Attach what is known of this turn's latency as soon as the message it belongs to exists."""
        turn = self._turn
        if turn.waiting_ms and turn.answer_sequence is not None:
            effects.append(AddLatency(turn.answer_sequence, dict(turn.waiting_ms)))
            turn.waiting_ms.clear()
        return effects

    def _count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1

    def _note_unknown(self, what: str) -> list[Effect]:
        self._count(f"unknown:{what}")
        return [self._event(EventKind.UNKNOWN_MESSAGE, {"type": what})] if self.counts[f"unknown:{what}"] == 1 else []


_ENGINE_HANDLERS: dict[type, Callable[[Bridge, Any, float], list[Effect]]] = {
    Welcome: Bridge._on_welcome,
    Ready: Bridge._on_ready,
    Transcript: Bridge._on_transcript,
    UserStartedSpeaking: Bridge._on_user_started,
    AgentThinking: Bridge._on_thinking,
    AgentDone: Bridge._on_agent_done,
    ToolRequests: Bridge._on_tool_requests,
    ToolsCancelled: Bridge._on_tools_cancelled,
    Latency: Bridge._on_latency,
    SayRefused: Bridge._on_say_refused,
    Notice: Bridge._on_notice,
    Failed: Bridge._on_failed,
    UnknownEvent: Bridge._on_unknown,
}
