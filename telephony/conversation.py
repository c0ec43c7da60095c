"""One media stream being carried: joins carrier, bridge and engine, and carries out what the bridge decides.

Audio takes the short way: a frame in is one call to the engine, a frame out one call to the socket. Everything else
goes through `_apply`. Every task made here is kept, cancelled and awaited at the end.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from channels.db import database_sync_to_async
from django.db import DatabaseError
from redis.exceptions import RedisError

from agents.tools import ToolContext, ToolError, as_text, run_tool
from base.text import to_valid
from billing.enums import Level
from telephony import effects as fx
from telephony.bridge import Bridge, Phase
from telephony.collaborating import Collaborator
from telephony.ending import end_tasks
from telephony.engines.base import (
    Engine,
    EngineConfig,
    EngineError,
    Event,
    Failed,
    Ready,
    ToolRequest,
    Transcript,
    UserStartedSpeaking,
)
from telephony.engines.registry import make_engine
from telephony.enums import EventKind
from telephony.hearing import Hearing
from telephony.outbox import Outbox
from telephony.plan import CallPlan, Joining
from telephony.services.spending import look_at_budget
from telephony.spending import SpendingPlan
from telephony.transcripts.entries import event_entry, heard_entry, latency_entry, message_entry
from telephony.transcripts.journal import Journal
from telephony.twilio import messages
from tenants.context import NoTenantError, find_tenant, in_tenant

logger = logging.getLogger("telephony")

READY_TIMEOUT_S = 5.0
RECONNECT_PAUSE_S = 0.2
BUDGET_EVERY_S = 10.0

now = time.monotonic


class Conversation:
    """One media stream, from admission to `close`. Lives on one event loop; everything but `close` returns at once."""

    def __init__(self, plan: CallPlan, start: messages.Start, outbox: Outbox) -> None:
        self.plan = plan
        self.outbox = outbox
        self.bridge = Bridge(plan, stream_sid=start.stream_sid, now=now())
        self.journal = Journal(plan.call_id)
        self.finish: fx.Finish | None = None
        self.finished = asyncio.Event()
        self.hearing = Hearing()
        self.frames_dropped = 0
        self._engine: Engine | None = None
        self._listens = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._tools: dict[int, asyncio.Task[None]] = {}
        self._opening: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._is_closed = False
        self._collaborator = self._join(plan.joining) if plan.joining is not None else None
        self._note(EventKind.STREAM_STARTED, {"stream_sid": start.stream_sid, "stream": plan.stream_number})
        self._spawn(self._keep_time())
        if plan.spending is not None and plan.spending.watches:
            self._spawn(self._watch_budget(plan.spending))
        self._open_engine(plan.engine)

    # --- audio ---------------------------------------------------------------------------------------------------

    def caller_audio(self, audio: bytes) -> None:
        self.hearing.add(audio)
        if self._listens and not self._engine.send_audio(audio):  # type: ignore[union-attr]
            self.frames_dropped += 1

    def _agent_audio(self, audio: bytes) -> None:
        text = self.bridge.agent_audio(audio, now())
        if text is not None:
            self.outbox.send(text, is_audio=True)

    # --- everything else -----------------------------------------------------------------------------------------

    def carrier_message(self, message: messages.Message) -> None:
        self._apply(self.bridge.on_carrier(message, now()))

    def _engine_event(self, event: Event) -> None:
        match event:
            case Ready():
                self._start_listening()
            case Failed():
                self._stop_listening()
            case UserStartedSpeaking():
                self.hearing.turn_began()
            case Transcript(role="user"):
                self.hearing.words_came()
        self._apply(self.bridge.on_engine(event, now()))
        if self._collaborator is not None:
            self._collaborator.heard(event)

    def _start_listening(self) -> None:
        if self._listens:
            return
        self._listens = True
        for audio in self.hearing.unheard():
            if not self._engine.send_audio(audio):  # type: ignore[union-attr]
                self.frames_dropped += 1

    def _stop_listening(self) -> None:
        if self._listens:
            self._listens = False
            self.hearing.session_lost()

    def command(self, message: dict[str, Any]) -> None:
        """Carry out what a member asked for on a page, or the news that the call is over."""
        match message["type"]:
            case "call.say":
                self._apply(self.bridge.say(to_valid(message["text"]), now()))
            case "call.user_text":
                self._apply(self.bridge.user_text(to_valid(message["text"]), now()))
            case "call.hang_up":
                self._apply(self.bridge.hang_up(now()))
            case "call.ended":
                self.finished.set()

    def _apply(self, effects: Sequence[fx.Effect]) -> None:
        for effect in effects:
            try:
                _APPLY[type(effect)](self, effect)
            except Exception:  # one that cannot be carried out must not take the others with it
                kind = type(effect).__name__
                logger.exception("An effect failed.", extra={"call": self.plan.call_id, "effect": kind})
        self._wake.set()  # even without effects a deadline may have moved; no frame comes this way

    def _send_carrier(self, effect: fx.SendCarrier) -> None:
        self.outbox.send(effect.text)

    def _clear_carrier(self, effect: fx.ClearCarrier) -> None:
        self.outbox.drop_audio()
        self.outbox.send(effect.text)

    def _say(self, effect: fx.Say) -> None:
        if self._engine is not None:
            self._engine.say(effect.text, effect.behavior)

    def _user_says(self, effect: fx.UserSays) -> None:
        if self._engine is not None:
            self._engine.user_says(effect.text)

    def _replace_prompt(self, effect: fx.ReplacePrompt) -> None:
        if self._engine is not None:
            self._engine.replace_prompt(effect.prompt)

    def _answer_tool(self, effect: fx.AnswerTool) -> None:
        if self._engine is not None:
            self._engine.answer_tool(effect.request, effect.content)

    def _run_tool(self, effect: fx.RunTool) -> None:
        self._tools[effect.request.key] = self._spawn(self._tool(effect.request))

    def _cancel_tool(self, effect: fx.CancelTool) -> None:
        if task := self._tools.pop(effect.key, None):
            task.cancel()

    def _add_message(self, effect: fx.AddMessage) -> None:
        self.journal.put(message_entry(self.plan.schema, self.plan.call_id, effect.sequence, effect.role, effect.text))
        if self._collaborator is not None and effect.role == "user":
            self._collaborator.caller_said(effect.text)

    def _add_event(self, effect: fx.AddEvent) -> None:
        self.journal.put(event_entry(self.plan.schema, self.plan.call_id, effect.sequence, effect.kind, effect.detail))

    def _add_latency(self, effect: fx.AddLatency) -> None:
        self.journal.put(latency_entry(self.plan.schema, self.plan.call_id, effect.sequence, effect.values_ms))

    def _add_heard(self, effect: fx.AddHeard) -> None:
        self.journal.put(heard_entry(self.plan.schema, self.plan.call_id, effect.sequence, effect.share))

    def _reconnect(self, effect: fx.Reconnect) -> None:
        config = replace(
            self.plan.engine, prompt=self.bridge.instructions, greeting=effect.greeting, history=effect.history
        )
        self._open_engine(config, pause_s=RECONNECT_PAUSE_S)

    def _finish(self, effect: fx.Finish) -> None:
        if self.finish is None:
            self.finish = effect
        self.finished.set()

    def _note(self, kind: EventKind, detail: dict[str, Any]) -> None:
        self._add_event(self.bridge.note(kind, detail))

    # --- the engine ----------------------------------------------------------------------------------------------

    def _open_engine(self, config: EngineConfig, *, pause_s: float = 0.0) -> None:
        self._stop_listening()
        old, self._engine = self._engine, None
        if self._opening is not None:
            self._opening.cancel()
        self._opening = self._spawn(self._connect(config, old, pause_s))

    async def _connect(self, config: EngineConfig, old: Engine | None, pause_s: float) -> None:
        if old is not None:
            await old.close()
        await asyncio.sleep(pause_s)
        engine = make_engine(
            self.plan.engine_name, config, on_audio=self._agent_audio, on_event=lambda event: self._from(engine, event)
        )
        self._engine = engine
        try:
            await engine.open()
        except EngineError as error:
            self._from(engine, Failed(error.code, error.description, error.retryable))
            return
        except Exception as error:
            logger.exception("An engine could not be opened.", extra={"call": self.plan.call_id})
            self._from(engine, Failed("ENGINE_FAULT", type(error).__name__, retryable=False))
            return
        await asyncio.sleep(READY_TIMEOUT_S)
        if self._engine is engine and self.bridge.phase is Phase.CONNECTING:
            self._from(engine, Failed("NOT_READY", "no SettingsApplied in time", retryable=True))

    def _from(self, engine: Engine, event: Event) -> None:
        """Events of a session that was replaced meanwhile belong to nobody. Whatever one does, the next is heard."""
        if engine is not self._engine:
            return
        try:
            self._engine_event(event)
        except Exception:
            kind = type(event).__name__
            logger.exception("An event could not be handled.", extra={"call": self.plan.call_id, "event": kind})

    # --- tools and time ------------------------------------------------------------------------------------------

    async def _tool(self, request: ToolRequest) -> None:
        after_turn, failed = None, False
        try:
            tool = self.plan.tools.get(request.name)
            if tool is None:
                raise ToolError(f"There is no tool named {request.name}.")
            outcome = await run_tool(tool, self._tool_context(), request.arguments)
            content, after_turn = as_text(outcome.content), outcome.after_turn
        except ToolError as error:
            content, failed = str(error), True
        except Exception:  # whatever a tool does, the conversation goes on
            logger.exception("A tool failed.", extra={"call": self.plan.call_id, "tool": request.name})
            content, failed = "The tool failed.", True
        self._tools.pop(request.key, None)
        if after_turn is not None:
            after_turn = replace(after_turn, to_number=to_valid(after_turn.to_number), note=to_valid(after_turn.note))
        self._apply(self.bridge.tool_finished(request, to_valid(content), after_turn, now(), failed=failed))
        if after_turn is None or after_turn.action != "consult" or self._collaborator is None:
            return
        if self.bridge.phase not in (Phase.CLOSING, Phase.CLOSED):
            self._collaborator.agent_asked(after_turn.note)

    def _tool_context(self) -> ToolContext:
        plan = self.plan
        said = tuple(one.text for one in self.bridge.history if one.role == "user")
        return ToolContext(
            call_id=plan.call_id,
            schema=plan.schema,
            transfer_number=plan.transfer_number,
            caller_number=plan.caller_number,
            own_number=plan.own_number,
            caller_verified=plan.caller_verified,
            details_by_number=plan.details_by_number,
            said=said[-4:],
        )

    async def _keep_time(self) -> None:
        while True:
            self._wake.clear()
            wait_s = self._deadline() - now()
            try:
                async with asyncio.timeout(None if math.isinf(wait_s) else max(wait_s, 0.0)):
                    await self._wake.wait()
            except TimeoutError:
                self._on_time()

    def _on_time(self) -> None:
        try:
            self._apply(self.bridge.on_time(now()))
            if self._collaborator is not None:
                self._collaborator.on_time()
        except Exception:  # a call without a clock would never end
            logger.exception("An alarm of a call failed.", extra={"call": self.plan.call_id})

    async def _watch_budget(self, spending: SpendingPlan) -> None:
        """Ask now and then how far the budgets are used up; while nobody can say, the call goes on."""
        began = now() - self.plan.elapsed_s
        while True:
            await asyncio.sleep(BUDGET_EVERY_S)
            try:
                level = await self._ask_budget(spending, now() - began)
            except (DatabaseError, RedisError, OSError, NoTenantError) as error:
                logger.warning("A budget could not be looked at.", extra={"why": type(error).__name__})
                continue
            self._apply(self.bridge.budgets_stand_at(level, now()))

    async def _ask_budget(self, spending: SpendingPlan, seconds: float) -> Level:
        tenant = await database_sync_to_async(find_tenant, thread_sensitive=False)(self.plan.schema)
        return await in_tenant(
            tenant,
            look_at_budget,
            tenant=tenant,
            call_sid=self.plan.call_sid,
            minute=spending.minute,
            seconds=seconds,
        )

    def _deadline(self) -> float:
        ours = self.bridge.deadline()
        return ours if self._collaborator is None else min(ours, self._collaborator.deadline())

    def _join(self, joining: Joining) -> Collaborator:
        return Collaborator(
            joining, call_id=self.plan.call_id, bridge=self.bridge, apply=self._apply, spawn=self._spawn, now=now
        )

    # --- the end -------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Stop everything and make what is left durable, whatever of it fails. Safe to repeat."""
        if self._is_closed:
            return
        self._is_closed = True
        async with AsyncExitStack() as ends:  # from the last to the first
            ends.push_async_callback(self.journal.close)
            ends.callback(self._note_end)
            ends.push_async_callback(self._close_engine)
            ends.push_async_callback(self._end_tasks)
            if self._collaborator is not None:
                collaborator, self._collaborator = self._collaborator, None
                ends.push_async_callback(collaborator.close)

    async def _end_tasks(self) -> None:
        await end_tasks(*self._tasks)

    async def _close_engine(self) -> None:
        if self._engine is not None:
            await self._engine.close()

    def _note_end(self) -> None:
        dropped = self.frames_dropped + self.outbox.dropped
        if dropped:
            self._note(EventKind.FRAMES_DROPPED, {"frames": dropped})
        reason = str(self.finish.reason) if self.finish and self.finish.reason else None
        self._note(EventKind.STREAM_ENDED, {"frames_in": self.hearing.frames, "reason": reason})

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(self._report_failure)
        return task

    def _report_failure(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("A part of a call failed.", exc_info=error, extra={"call": self.plan.call_id})


_APPLY: dict[type, Callable[[Conversation, Any], None]] = {
    fx.SendCarrier: Conversation._send_carrier,
    fx.ClearCarrier: Conversation._clear_carrier,
    fx.Say: Conversation._say,
    fx.UserSays: Conversation._user_says,
    fx.ReplacePrompt: Conversation._replace_prompt,
    fx.RunTool: Conversation._run_tool,
    fx.CancelTool: Conversation._cancel_tool,
    fx.AnswerTool: Conversation._answer_tool,
    fx.AddMessage: Conversation._add_message,
    fx.AddLatency: Conversation._add_latency,
    fx.AddHeard: Conversation._add_heard,
    fx.AddEvent: Conversation._add_event,
    fx.Reconnect: Conversation._reconnect,
    fx.Finish: Conversation._finish,
}
