"""Specialists join a call that is being carried: the machine of `agents.collaboration`, its work, and its record.

It hears what the conversation hears, and has the bridge speak and instruct the agent. Whatever goes wrong here, the
conversation goes on without it.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from django.utils import timezone

from agents.collaboration import effects as wanted
from agents.collaboration.enums import Stage
from agents.collaboration.machine import Collaboration
from agents.collaboration.services import auditing
from agents.llm.base import LlmError
from agents.llm.metering import as_part
from crm.folding import fold
from telephony import effects as fx
from telephony.bridge import Bridge
from telephony.engines.base import AgentDone, Event, Failed, Transcript, UserStartedSpeaking
from telephony.enums import EventKind
from telephony.plan import Joining
from tenants.context import in_tenant

logger = logging.getLogger("telephony")

LAST_WRITES_S = 5.0

Apply = Callable[[Sequence[fx.Effect]], None]
Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


class Collaborator:
    def __init__(
        self, joining: Joining, *, call_id: str, bridge: Bridge, apply: Apply, spawn: Spawn, now: Callable[[], float]
    ) -> None:
        self.machine = Collaboration(joining.rules)
        self._rules = joining.rules
        self._specialists = joining.specialists
        self._call_id = call_id
        self._bridge = bridge
        self._apply = apply
        self._spawn = spawn
        self._now = now
        self._id = uuid.uuid4()
        self._working: asyncio.Task[None] | None = None
        self._last_write: asyncio.Task[None] | None = None
        # Which sentence of ours is to be spoken, and whether it has begun: other turns end, too.
        self._ours = ""
        self._ours_began = False

    # --- what is heard -------------------------------------------------------------------------------------------

    def caller_said(self, text: str) -> None:
        self._do(self.machine.caller_said(text, self._now()))

    def agent_asked(self, question: str) -> None:
        self._do(self.machine.agent_asked(question, self._now()))

    def heard(self, event: Event) -> None:
        match event:
            case UserStartedSpeaking():
                self.machine.caller_started(self._now())
            case Transcript(role="assistant", text=text):
                # Providers tell a sentence in pieces; what the agent says by itself is no piece of ours.
                self._ours_began = self._ours_began or not self._ours or fold(text).strip() in fold(self._ours)
            case AgentDone() if self._ours_began:
                self._ours_began = False
                self._do(self.machine.agent_done(self._bridge.playback.until, self._now()))
            case Failed():
                self._do(self.machine.agent_lost(self._now()))

    def deadline(self) -> float:
        return self.machine.deadline()

    def on_time(self) -> None:
        self._do(self.machine.on_time(self._now()))

    async def close(self) -> None:
        """The call is over: end what runs, and have the record written."""
        self._do(self.machine.hung_up(self._now()))
        if self._last_write is not None:
            await asyncio.wait([self._last_write], timeout=LAST_WRITES_S)

    # --- what is done --------------------------------------------------------------------------------------------

    def _do(self, effects: Sequence[wanted.Effect]) -> None:
        for effect in effects:
            _DO[type(effect)](self, effect)
        self._bridge.floor.is_held = self.machine.holds_the_floor
        self._apply([])  # a deadline may have moved

    def _speak(self, effect: wanted.Speak) -> None:
        self._ours, self._ours_began = effect.text, False
        self._apply(self._bridge.announce(effect.text, effect.behavior, self._now()))

    def _pause(self, effect: wanted.Pause) -> None:
        self._apply(self._bridge.instruct(effect.note))

    def _release(self, effect: wanted.Release) -> None:
        self._apply(self._bridge.instruct(""))

    def _give(self, effect: wanted.Give) -> None:
        self._ours, self._ours_began = "", False
        self._apply(self._bridge.instruct(effect.note))
        self._apply(self._bridge.prompt_turn(effect.turn, self._now()))

    def _rate(self, effect: wanted.Rate) -> None:
        self._start(self._rating(effect))

    async def _rating(self, effect: wanted.Rate) -> None:
        try:
            complexity, asks = await self._specialists.rate(effect.text)
        except LlmError:
            self._do(self.machine.rating_failed(effect.number, self._now()))
            return
        self._do(self.machine.rated(effect.number, complexity, asks, self._now()))

    def _judge(self, effect: wanted.Judge) -> None:
        self._spawn(self._judging(effect))

    async def _judging(self, effect: wanted.Judge) -> None:
        answer = await self._specialists.judge(effect.text)
        self._do(self.machine.judged(effect.number, answer, effect.text, self._now()))

    def _consult(self, effect: wanted.Consult) -> None:
        self._start(self._consulting(effect, self._id))

    async def _consulting(self, effect: wanted.Consult, collaboration_id: uuid.UUID) -> None:
        said = [(one.role, one.text) for one in self._bridge.history]
        with as_part(collaboration_id.hex):
            work = await self._specialists.work(
                effect.question, said, most=self._rules.max_specialists, limit_s=self._rules.work_s
            )
        self._write(partial(auditing.record_work, collaboration_id=collaboration_id, work=work))
        names = [one.brief.name for one in work.contributions]
        self._note({"asked": ", ".join(names), "helped": bool(work.answer)})
        if work.answer:
            self._do(self.machine.work_done(effect.number, work.answer, self._now()))
        else:
            self._do(self.machine.work_failed(effect.number, self._now()))

    def _cancel(self, effect: wanted.CancelWork) -> None:
        if self._working is not None:
            self._working.cancel()
            self._working = None

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        """One piece of work at a time: a newer one takes the place of the one before."""
        if self._working is not None:
            self._working.cancel()
        self._working = self._spawn(work)

    # --- the record ----------------------------------------------------------------------------------------------

    def _began(self, effect: wanted.Began) -> None:
        self._id = uuid.uuid4()
        self._note({"trigger": effect.trigger.label, "complexity": effect.complexity})
        self._write(
            partial(
                auditing.record_begin,
                collaboration_id=self._id,
                call_id=self._call_id,
                trigger=effect.trigger,
                question=effect.question,
                complexity=effect.complexity,
            )
        )

    def _moved(self, effect: wanted.Moved) -> None:
        if effect.stage is not Stage.COMPLETED:
            self._note({"stage": effect.stage.label, "said": effect.consent})
        self._write(
            partial(
                auditing.record_stage,
                collaboration_id=self._id,
                stage=effect.stage,
                consent=effect.consent,
                at=timezone.now(),
            )
        )

    def _ended(self, effect: wanted.Ended) -> None:
        self._note({"outcome": effect.outcome.label})
        self._write(partial(auditing.record_end, collaboration_id=self._id, outcome=effect.outcome, at=timezone.now()))

    def _note(self, detail: dict[str, Any]) -> None:
        self._apply([self._bridge.note(EventKind.SPECIALISTS, {key: value for key, value in detail.items() if value})])

    def _write(self, write: Callable[[], None]) -> None:
        """Write behind what was written before: a row comes before its changes."""
        self._last_write = asyncio.create_task(self._write_after(self._last_write, write))

    async def _write_after(self, before: asyncio.Task[None] | None, write: Callable[[], None]) -> None:
        if before is not None:
            await asyncio.wait([before])
        try:
            await in_tenant(self._specialists.tenant, write)
        except Exception:  # the call is worth more than its record
            logger.exception("A collaboration could not be recorded.", extra={"call": self._call_id})


_DO: dict[type, Callable[[Collaborator, Any], None]] = {
    wanted.Speak: Collaborator._speak,
    wanted.Pause: Collaborator._pause,
    wanted.Release: Collaborator._release,
    wanted.Give: Collaborator._give,
    wanted.Rate: Collaborator._rate,
    wanted.Judge: Collaborator._judge,
    wanted.Consult: Collaborator._consult,
    wanted.CancelWork: Collaborator._cancel,
    wanted.Began: Collaborator._began,
    wanted.Moved: Collaborator._moved,
    wanted.Ended: Collaborator._ended,
}
