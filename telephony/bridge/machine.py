"""The state machine itself: what each event means, in which phase, and what is to be done about it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from agents.tools import AfterTurn
from billing.enums import Level
from telephony import effects as fx
from telephony.bridge.closing import Closing, Rank
from telephony.bridge.floor import Floor, Late
from telephony.bridge.heard import Heard
from telephony.bridge.link import Link
from telephony.bridge.playback import Playback
from telephony.bridge.record import Record
from telephony.bridge.sayings import Sayings
from telephony.bridge.toolcalls import Fate, ToolCalls
from telephony.dtmf import Keypad
from telephony.effects import Effect
from telephony.engines import base as ev
from telephony.engines.base import Behavior, ToolRequest
from telephony.enums import EndedReason, EventKind, NextStep
from telephony.plan import CallPlan
from telephony.spending import Spending, Stage
from telephony.twilio import messages


class Phase(Enum):
    CONNECTING = auto()
    TALKING = auto()
    CLOSING = auto()
    CLOSED = auto()


class Bridge:
    """One media stream's conversation. Every method takes `now`, monotonic seconds, and returns what is to be done.

    Not for threads: carrier, engine, clock and people call it from one event loop. Nothing in here waits or raises.
    """

    def __init__(self, plan: CallPlan, *, stream_sid: str, now: float) -> None:
        self.plan = plan
        self.phase = Phase.CONNECTING
        self.playback = Playback(stream_sid, now=now)
        self.floor = Floor(plan.limits, now=now)
        self.record = Record(stream_number=plan.stream_number, history=plan.engine.history)
        self._toolcalls = ToolCalls(plan.irreversible_tools)
        self._link = Link(now=now, max_dead_air_s=plan.limits.max_dead_air_s)
        self._sayings = Sayings()
        self._heard = Heard()
        self._keypad = Keypad()
        self._closing: Closing | None = None
        self._consulted_in: int | None = None  # the last batch of requests in which the agent asked for specialists
        self._has_late_results = False  # of tools a lost session asked for, not yet put to the agent
        self._notes: dict[str, str] = {}  # added to the prompt, by whoever wrote them
        self._instructions_given = plan.engine.prompt
        started_at = now - plan.elapsed_s
        self._ends_at = started_at + plan.limits.max_call_s
        warning_s = plan.limits.length_warning_s
        self._warns_at = self._ends_at - warning_s if warning_s else math.inf
        self._spending = Spending(plan.spending, started_at=started_at) if plan.spending else None

    # --- audio: one call a frame ---------------------------------------------------------------------------------

    def agent_audio(self, audio: bytes, now: float) -> str | None:
        """Return the wire text that plays agent audio, or None for audio of a turn that was interrupted."""
        playback = self.playback
        if playback.is_stale(now):
            self.record.count("stale-frames")
            return None
        if not playback.is_mid_turn:
            self._begin_agent_turn(now)
        return playback.add(audio, now)

    def _begin_agent_turn(self, now: float) -> None:
        if self.playback.is_over(now) and self._heard.has_audio:
            self._heard.forget()
        self.playback.is_mid_turn = True
        self._heard.audio_began(max(self.playback.until, now))
        self.floor.settle()
        self.record.agent_began(now)
        if self._closing is not None:
            self._closing.has_spoken = True

    # --- the carrier ---------------------------------------------------------------------------------------------

    def on_carrier(self, message: messages.Message, now: float) -> list[Effect]:
        match message:
            case messages.Mark(name=name):
                return self._on_mark(name, now)
            case messages.Dtmf(digit=digit):
                began = self._caller_began(now) if self.phase in (Phase.TALKING, Phase.CLOSING) else []
                self._keypad.press(digit, now)
                return [*began, self.note(EventKind.DTMF, {"digit": digit})]
            case messages.Stop():
                self.phase = Phase.CLOSED
                return [fx.Finish(None, EndedReason.CALLER_HUNG_UP)]
            case messages.Unknown(event=event):
                return self.record.unknown(event)
        return []

    def _on_mark(self, name: str, now: float) -> list[Effect]:
        if not self.playback.take_mark(name, now):
            return []
        if not self.playback.is_mid_turn:
            self.floor.active(now)
        if self._closing is not None and self._closing.is_spoken(self.playback):
            return self._finish_now(now)
        return []

    # --- the engine ----------------------------------------------------------------------------------------------

    def on_engine(self, event: ev.Event, now: float) -> list[Effect]:
        if self.phase is Phase.CLOSED:
            return []
        handler = _ENGINE_HANDLERS[type(event)]
        return [*handler(self, event, now), *self.record.latency()]

    def _on_welcome(self, event: ev.Welcome, now: float) -> list[Effect]:
        return [self.note(EventKind.ENGINE_CONNECTED, {"request_id": event.request_id})]

    def _on_ready(self, event: ev.Ready, now: float) -> list[Effect]:
        if self.phase is not Phase.CONNECTING:
            return []
        self._link.connected()
        self.phase = Phase.CLOSING if self._closing else Phase.TALKING
        self.floor.active(now)
        told = self._instruct_anew()
        if self.record.history or self.plan.is_resumed:
            return [*told, *self._take_up_again(now)]
        if self.plan.engine.greeting:
            self.floor.owe(now)
        return told

    def _take_up_again(self, now: float) -> list[Effect]:
        """After a gap: put the caller's unanswered words to the agent again, else say that we are back.

        While a tool is still at work for the session that was lost, its answer is waited for: without it the new session
        would only ask for the same again.
        """
        if self._closing is not None:
            said = self._sayings.last
            return self._say(said.text, "interrupt", now) if said else []
        if self._toolcalls.is_working:
            return []
        if self._has_late_results:
            return self._put_late_results(now)
        if self.record.is_unanswered:
            return [self._inject_user(self.record.history[-1].text, now)]
        if self._link.cut_off_mid_turn or (self.plan.is_resumed and not self._link.was_lost and not self.plan.is_told):
            return self._say(self.plan.texts.resume, "queue", now)
        return []

    def _on_transcript(self, event: ev.Transcript, now: float) -> list[Effect]:
        self.floor.active(now)
        if event.role == "assistant":
            return self._agent_said(event, now)
        if self.record.is_echo(event.text, now):
            self._begin_exchange(now)
            return [fx.RunTool(request) for request in self._toolcalls.release()]
        goes_on = self._closing is not None and self._closing.is_taken_back_at(now)
        taken_back = self._take_back_goodbye() if goes_on else []
        self._begin_exchange(now)
        said = self.record.message(event)
        return [*taken_back, said, *(fx.RunTool(request) for request in self._toolcalls.release())]

    def _agent_said(self, event: ev.Transcript, now: float) -> list[Effect]:
        self.playback.text_came(now)
        message = self.record.message(event)
        if self.playback.is_muted:  # the rest of what was interrupted
            return [message, fx.AddHeard(message.sequence, 0.0)]
        if self.playback.is_over(now) and self._heard.has_audio:
            self._heard.forget()
        self._heard.said(message.sequence, event.text)
        return [message]

    def _begin_exchange(self, now: float) -> None:
        """The caller has said something, and it is the agent's turn."""
        self.floor.caller_said(now)
        self.record.caller_ended(now)
        self.playback.unmute()
        self.playback.is_mid_turn = False

    def _inject_user(self, text: str, now: float) -> fx.UserSays:
        self.record.injected(text, now)
        self._begin_exchange(now)
        return fx.UserSays(text)

    def _on_user_started(self, event: ev.UserStartedSpeaking, now: float) -> list[Effect]:
        self.record.forget_injected()
        return self._caller_began(now)

    def _caller_began(self, now: float) -> list[Effect]:
        """The caller's turn begins, by voice, a key or typed words.

        The carrier's buffer is emptied at once, and what still comes of the agent's turn is dropped.
        """
        interrupts, unheard_s = self.playback.is_audible(now), self.playback.until - now
        effects: list[Effect] = []
        if interrupts:
            effects.append(self.note(EventKind.BARGE_IN, {"unheard_ms": round(unheard_s * 1000)}))
            effects += [fx.AddHeard(*part) for part in self._heard.interrupted(now, self.playback.until)]
        self._heard.forget()
        cleared = fx.ClearCarrier(self.playback.clear(now))
        self.playback.mute(now)
        self.floor.caller_began(now, interrupts=interrupts)
        if self._closing is not None:
            self._closing.caller_began(now)
        return [cleared, *effects]

    def _on_thinking(self, event: ev.AgentThinking, now: float) -> list[Effect]:
        if not self.floor.caller_speaks:
            self.playback.unmute()
        return []

    def _on_agent_done(self, event: ev.AgentDone, now: float) -> list[Effect]:
        if self.playback.is_muted:
            return []  # the interrupted turn's end
        self.playback.is_mid_turn = False
        self.floor.settle()
        if self._closing is not None and self._closing.has_spoken:
            self._closing.turn_done = True
        return [fx.SendCarrier(self.playback.mark())]

    def _on_latency(self, event: ev.Latency, now: float) -> list[Effect]:
        self.record.measured(event.values_ms)
        return []

    def _on_say_refused(self, event: ev.SayRefused, now: float) -> list[Effect]:
        self.floor.settle()
        self._sayings.refused(now)
        return []

    def _on_notice(self, event: ev.Notice, now: float) -> list[Effect]:
        return [self.note(EventKind.WARNING, {"code": event.code, "description": event.description})]

    def _on_unknown(self, event: ev.UnknownEvent, now: float) -> list[Effect]:
        return self.record.unknown(event.type)

    def _on_failed(self, event: ev.Failed, now: float) -> list[Effect]:
        lost = self.note(EventKind.ENGINE_LOST, {"code": event.code, "description": event.description})
        return [lost, *(self._reconnect(now, event.code) if event.retryable else self._fall_back())]

    # --- tools ---------------------------------------------------------------------------------------------------

    def _on_tool_requests(self, event: ev.ToolRequests, now: float) -> list[Effect]:
        self.floor.settle()
        self.floor.active(now)
        self._toolcalls.begin_batch()
        effects: list[Effect] = []
        for asked in event.requests:
            request, may_run = self._toolcalls.take(asked, now, caller_speaks=self.floor.caller_speaks)
            detail = {"id": request.id, "name": request.name, "arguments": request.arguments}
            effects.append(self.note(EventKind.TOOL_CALL, detail))
            if may_run:
                effects.append(fx.RunTool(request))
        return effects

    def _on_tools_cancelled(self, event: ev.ToolsCancelled, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for identifier in dict.fromkeys(event.ids):
            for request, was_running in self._toolcalls.cancel(identifier):
                effects.append(self.note(EventKind.TOOL_CANCELLED, {"id": identifier}))
                if was_running:
                    effects.append(fx.CancelTool(request.key))
        return [*effects, *self._answers()]

    def tool_finished(
        self, request: ToolRequest, content: str, after_turn: AfterTurn | None, now: float, *, failed: bool = False
    ) -> list[Effect]:
        """Take a tool's answer. One that comes after its call was cancelled is dropped."""
        if self.phase is Phase.CLOSED:
            return []
        batch = self._toolcalls.batch_of(request)
        fate, answers = self._toolcalls.finish(request, content)
        if fate is Fate.UNWANTED:
            return []
        detail = {"id": request.id, "name": request.name, "result": content, "failed": failed}
        effects: list[Effect] = [self.note(EventKind.TOOL_RESULT, detail)]
        effects += [fx.AnswerTool(*answer) for answer in answers]
        if after_turn is not None:
            effects += self._after_turn(after_turn, batch, now)
        if fate is Fate.ORPHANED:
            return [*effects, *self._take_late_result(request, content, now)]
        if self._closing is None:
            self._expect_agent(now)
        return effects

    def _after_turn(self, wanted: AfterTurn, batch: int | None, now: float) -> list[Effect]:
        """What the agent has decided, which may compete with what it asked for in the same breath."""
        match wanted.action:
            case "transfer":
                # Whether anybody takes the call is known once the carrier has rung them: no reason yet.
                to, note = wanted.to_number, wanted.note
                put_through = Closing(now, Rank.TRANSFER, NextStep.TRANSFER, None, to, note, batch=batch)
                return [self.note(EventKind.TRANSFER, {"to": to, "note": note})] if self._close(put_through) else []
            case "consult":
                self._consulted_in = batch
                return self._take_back_goodbye() if self._closing is not None and self._closing.batch == batch else []
            case _:
                if batch is None or self._consulted_in != batch:
                    reason = self._reason_to_end()
                    self._close(Closing(now, Rank.HANG_UP, NextStep.HANG_UP, reason, batch=batch))
                return []

    def _answers(self) -> list[Effect]:
        return [fx.AnswerTool(*answer) for answer in self._toolcalls.ready_answers()]

    def _take_late_result(self, request: ToolRequest, content: str, now: float) -> list[Effect]:
        """Put what a tool did for a lost session to the one that took its place, which does not know of the request."""
        told = self._note_late_result(request, content)
        if self.phase is not Phase.TALKING or self._toolcalls.is_working:
            return told
        # If the caller and the agent have gone on talking meanwhile, the next sentence takes it into account.
        self._has_late_results = False
        is_quiet = not (self.floor.caller_speaks or self.floor.agent_owes or self.playback.is_playing)
        return [*told, *(self._put_late_results(now) if is_quiet else [])]

    def _note_late_result(self, request: ToolRequest, content: str) -> list[Effect]:
        self._has_late_results = True
        result = {"tool": request.name, "arguments": request.arguments, "result": content}
        return self.instruct(json.dumps(result, ensure_ascii=False), about=f"tool {request.key}")

    def _put_late_results(self, now: float) -> list[Effect]:
        """Have the agent answer the caller's last words once more: now it reads what the tools have found."""
        self._has_late_results = False
        asked = next((one.text for one in reversed(self.record.history) if one.role == "user"), None)
        return [self._inject_user(asked, now)] if asked is not None else []

    def _reason_to_end(self) -> EndedReason:
        """An agent that was told to come to an end did not choose to."""
        told = self._spending is not None and self._spending.stage >= Stage.WINDING_DOWN
        return EndedReason.BUDGET_REACHED if told else EndedReason.AGENT_HUNG_UP

    # --- people who intervene ------------------------------------------------------------------------------------

    def say(self, text: str, now: float) -> list[Effect]:
        """A member has the agent say something now."""
        if self.phase is not Phase.TALKING:
            return []
        return [self.note(EventKind.OPERATOR, {"said": text}), *self._say(text, "interrupt", now)]

    def user_text(self, text: str, now: float) -> list[Effect]:
        """The caller of a test call typed instead of speaking."""
        if not self._listens_to_caller:
            return []
        began, taken_back = self._caller_began(now), self._take_back_goodbye()
        said = self._inject_user(text, now)
        return [*began, *taken_back, self.record.message(ev.Transcript("user", text)), said]

    @property
    def _listens_to_caller(self) -> bool:
        """The caller's words still change something."""
        is_goodbye = self._closing is not None and self._closing.can_be_taken_back
        return self.phase is Phase.TALKING or (self.phase is Phase.CLOSING and is_goodbye)

    def hang_up(self, now: float) -> list[Effect]:
        self.phase = Phase.CLOSED
        ended = fx.Finish(NextStep.HANG_UP, EndedReason.OPERATOR_HUNG_UP)
        return [self.note(EventKind.OPERATOR, {"hung_up": True}), ended]

    # --- whoever speaks through the agent ------------------------------------------------------------------------

    @property
    def history(self) -> list[ev.Utterance]:
        return self.record.history

    @property
    def instructions(self) -> str:
        """What the agent reads now: its prompt, and the notes that were added to it."""
        return "\n\n".join(filter(None, [self.plan.engine.prompt, *self._notes.values()]))

    def instruct(self, note: str, *, about: str = "specialists") -> list[Effect]:
        """Put a note into the agent's instructions, in place of the one before about the same; "" takes it out."""
        if note == self._notes.get(about, ""):
            return []
        self._notes[about] = note
        return [] if self.phase is Phase.CONNECTING else self._instruct_anew()

    def _instruct_anew(self) -> list[Effect]:
        if self.instructions == self._instructions_given:
            return []
        self._instructions_given = self.instructions
        return [fx.ReplacePrompt(self.instructions)]

    def announce(self, text: str, behavior: Behavior, now: float) -> list[Effect]:
        """Have a sentence of the organisation's spoken."""
        return self._say(text, behavior, now) if self.phase is Phase.TALKING else []

    def prompt_turn(self, text: str, now: float) -> list[Effect]:
        """Have the agent speak, as if the caller had said something."""
        return [self._inject_user(text, now)] if self.phase is Phase.TALKING else []

    def note(self, kind: EventKind, detail: dict[str, Any] | None = None) -> fx.AddEvent:
        """Return an entry for the call's history."""
        return self.record.event(kind, detail)

    def _say(self, text: str, behavior: Behavior, now: float) -> list[Effect]:
        self.playback.unmute()
        if self._closing is None:
            self._expect_agent(now)
        else:
            self.floor.settle()
        return [self._sayings.say(text, behavior)]

    def _expect_agent(self, now: float) -> None:
        """The agent owes us audio, and any that comes is it, also when the turn before has not been said to be over."""
        self.floor.owe(now)
        self.playback.is_mid_turn = False

    # --- money ---------------------------------------------------------------------------------------------------

    def budgets_stand_at(self, level: Level, now: float) -> list[Effect]:
        """Take the news of how far the organisation's budgets are used up."""
        if self._spending is None or self.phase is not Phase.TALKING:
            return []
        self._spending.told(level)
        return self._on_spending(now)

    def _on_spending(self, now: float) -> list[Effect]:
        assert self._spending is not None
        stage, plan = self._spending.advance(now), self._spending.plan
        if stage is None:
            return []
        noted = self.note(EventKind.BUDGET, {"stage": stage.name.lower()})
        if stage is Stage.WARNED:
            return [noted, *self.instruct(plan.warning_note, about="money")]
        if stage is Stage.WINDING_DOWN:
            told = self.instruct(plan.wind_down_note, about="money")
            # Whoever is speaking is let finish: the agent reads the note before its next sentence.
            is_quiet = not (self.floor.caller_speaks or self.floor.agent_owes or self.playback.is_playing)
            return [noted, *told, *(self.prompt_turn(plan.wind_down_note, now) if is_quiet else [])]
        return [noted, *self._say_goodbye(plan.goodbye, EndedReason.BUDGET_REACHED, now)]

    # --- time ----------------------------------------------------------------------------------------------------

    def deadline(self) -> float:
        """Return the monotonic time at which `on_time` must be called; it may be called earlier."""
        return min((at for at, _ in self._alarms()), default=math.inf)

    def on_time(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for at, alarm in self._alarms():
            # One alarm may settle the others.
            if at <= now and not (effects and self.phase in (Phase.CLOSED, Phase.CONNECTING)):
                effects += alarm(now)
        return effects

    def _alarms(self) -> list[tuple[float, Callable[[float], list[Effect]]]]:
        if self.phase is Phase.CLOSED:
            return []
        if self._closing is not None:
            by = self._closing.deadline(self.playback, has_answered=self.record.has_answered)
            keys = [(self._keypad.deadline, self._on_digits)] if self._listens_to_caller else []
            return [*keys, (by, self._finish_now)]
        length = [(self._ends_at, self._on_length_limit), (self._warns_at, self._on_length_warning)]
        if self.phase is Phase.CONNECTING:
            return [*length, (self._link.unreachable_at(), self._on_unreachable)]
        late_at, late = self.floor.next_late(played_at=self.playback.over_at(), is_busy=self._toolcalls.is_busy)
        return [
            *length,
            *([(self._spending.next_at(), self._on_spending)] if self._spending is not None else []),
            (self._keypad.deadline, self._on_digits),
            (self._sayings.again_at, self._on_say_again),
            (self._toolcalls.held_until(), self._on_held_too_long),
            (late_at, {Late.AGENT: self._on_stalled, Late.WORDS: self._on_no_words, Late.CALLER: self._on_silence}[late]),
        ]

    def _on_silence(self, now: float) -> list[Effect]:
        self.playback.is_mid_turn = False  # an agent that never said it was done counts as done once all was played
        self.floor.silences += 1
        if self.floor.silences > 1:
            return self._say_goodbye(self.plan.texts.silence_goodbye, EndedReason.CALLER_SILENT, now)
        return [self.note(EventKind.SILENCE_PROMPT), *self._say(self.plan.texts.silence_prompt, "queue", now)]

    def _on_no_words(self, now: float) -> list[Effect]:
        """A cough or a door stopped the agent, and no words followed: it takes the conversation up again."""
        self.playback.unmute()
        stopped_agent = self.floor.caller_said_nothing(now)
        return self._say(self.plan.texts.resume, "queue", now) if stopped_agent else []

    def _on_stalled(self, now: float) -> list[Effect]:
        after = {"after_s": self.plan.limits.max_dead_air_s}
        return [self.note(EventKind.WATCHDOG, after), *self._reconnect(now, "STALLED")]

    def _on_unreachable(self, now: float) -> list[Effect]:
        after = {"code": "UNREACHABLE", "after_s": self.plan.limits.max_dead_air_s}
        return [self.note(EventKind.WATCHDOG, after), *self._fall_back()]

    def _on_held_too_long(self, now: float) -> list[Effect]:
        late = self._toolcalls.answer_late(now, "Not done: the caller is still speaking.")
        why = "the turn did not end"
        return [
            *(self.note(EventKind.TOOL_CANCELLED, {"id": request.id, "reason": why}) for request in late),
            *self._answers(),
        ]

    def _on_digits(self, now: float) -> list[Effect]:
        said = self.plan.texts.dtmf_note.replace("{digits}", self._keypad.take())
        return [*self._take_back_goodbye(), self._inject_user(said, now)]

    def _on_say_again(self, now: float) -> list[Effect]:
        self.floor.owe(now)
        self.playback.unmute()
        return [self._sayings.again()]

    def _on_length_warning(self, now: float) -> list[Effect]:
        self._warns_at = math.inf
        told = self.instruct(self.plan.texts.length_warning_note, about="length")
        return [self.note(EventKind.LENGTH_WARNING), *told]

    def _on_length_limit(self, now: float) -> list[Effect]:
        return self._say_goodbye(self.plan.texts.length_goodbye, EndedReason.LENGTH_LIMIT, now)

    # --- the end -------------------------------------------------------------------------------------------------

    def _say_goodbye(self, text: str, reason: EndedReason, now: float) -> list[Effect]:
        said = self._say(text, "interrupt", now)
        rank = Rank.HANG_UP if reason is EndedReason.CALLER_SILENT else Rank.LIMIT
        self._close(Closing(now, rank, NextStep.HANG_UP, reason))
        return said

    def _close(self, closing: Closing) -> bool:
        """Begin to end the call, unless that has begun already for a reason of the same rank or a higher one; tell."""
        self.floor.settle()
        if self._closing is not None and self._closing.rank >= closing.rank:
            return False
        self._closing = closing
        if self.phase is Phase.TALKING:
            self.phase = Phase.CLOSING
        return True

    def _take_back_goodbye(self) -> list[Effect]:
        """The conversation goes on after all, unless it ends for a reason that is not the agent's to take back."""
        closing = self._closing
        if closing is None or not closing.can_be_taken_back:
            return []
        self._closing = None
        if self.phase is Phase.CLOSING:
            self.phase = Phase.TALKING
        return [self.note(EventKind.BARGE_IN, {"taken_back": str(closing.reason)})]

    def _finish_now(self, now: float) -> list[Effect]:
        if self._closing is None:
            return []  # taken back just now
        self.phase = Phase.CLOSED
        return [self._closing.finish()]

    def _fall_back(self) -> list[Effect]:
        self.phase = Phase.CLOSED
        if self._closing is not None:  # the call was ending anyway
            return [self._closing.finish()]
        return [fx.Finish(NextStep.FALL_BACK, EndedReason.PROVIDER_FAILED)]

    def _reconnect(self, now: float, why: str) -> list[Effect]:
        if not self._link.may_reconnect(now):
            lost = self.note(EventKind.ERROR, {"code": why, "after_reconnects": self._link.losses})
            return [lost, *self._fall_back()]
        self._link.reconnecting(now, mid_turn=self.playback.is_mid_turn or self.floor.agent_owes)
        self.phase = Phase.CONNECTING
        self.playback.unmute()
        self.playback.is_mid_turn = False
        self.floor.empty()
        self.record.forget_injected()
        for answer in self._toolcalls.lose_session():
            self._note_late_result(*answer)
        history = self.record.history
        # Unanswered words are put to the new session once it listens, but for those a tool is still at work for.
        is_held = self.record.is_unanswered and not self._toolcalls.is_working
        greeting = "" if history or self.plan.is_resumed else self.plan.engine.greeting
        self._instructions_given = self.instructions
        said = tuple(history[:-1] if is_held else history)
        return [self.note(EventKind.RECONNECT, {"why": why}), fx.Reconnect(said, greeting)]


_ENGINE_HANDLERS: dict[type, Callable[[Bridge, Any, float], list[Effect]]] = {
    ev.Welcome: Bridge._on_welcome,
    ev.Ready: Bridge._on_ready,
    ev.Transcript: Bridge._on_transcript,
    ev.UserStartedSpeaking: Bridge._on_user_started,
    ev.AgentThinking: Bridge._on_thinking,
    ev.AgentDone: Bridge._on_agent_done,
    ev.ToolRequests: Bridge._on_tool_requests,
    ev.ToolsCancelled: Bridge._on_tools_cancelled,
    ev.Latency: Bridge._on_latency,
    ev.SayRefused: Bridge._on_say_refused,
    ev.Notice: Bridge._on_notice,
    ev.Failed: Bridge._on_failed,
    ev.UnknownEvent: Bridge._on_unknown,
}
