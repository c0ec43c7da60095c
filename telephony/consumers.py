"""The media socket: accept, authenticate, pump frames, close once. An ASGI application with its own receive loop.

Not Channels' consumer: its dispatch hops through a thread for every message and makes tasks for each.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from typing import Any

from channels.db import database_sync_to_async
from channels.layers import get_channel_layer
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError

from agents.llm.metering import charged_to
from telephony.conversation import Conversation
from telephony.ending import end_tasks
from telephony.models.calls import control_group
from telephony.outbox import Outbox, Send
from telephony.plan import CallPlan
from telephony.services import streams
from telephony.services.carrier import signatures
from telephony.services.tokens import PARAMETER, TokenError, schema_of
from telephony.services.urls import stream_url
from telephony.transcripts.figures import losses
from telephony.transcripts.store import AWAY
from telephony.twilio import messages
from telephony.twilio.signature import SETTINGS_HEADER, SIGNATURE_HEADER
from telephony.workers import OpenSocket, worker
from tenants.context import NoTenantError, find_tenant, in_tenant
from tenants.models import Tenant

logger = logging.getLogger("telephony")

_TOKEN = re.compile(r"[a-z_][a-z0-9_]{0,62}\.[A-Za-z0-9_-]{20,100}")  # schema.secret

Receive = Callable[[], Awaitable[dict[str, Any]]]

Direct = Callable[[Callable[[bytes], None]], Callable[[str], bool]]

DIRECT_EXTENSION = "thanos.direct"  # offered by thanos.sockets
START_TIMEOUT_S = 10.0
SECOND_START_S = 0.5  # for a right `start` behind one that is none
# A carrier that asks what is next while the database is away cannot be answered either, so waiting loses nothing; closing
# before the decision is stored would have a caller who was told goodbye put through to the agent again.
REMEMBER_FOR_S = 60.0
REMEMBER_PAUSE_S = 0.25
REMEMBER_LATER_S = 5.0  # between two tries once the caller is gone
REORDER_WINDOW = 500
# A peer that sends nothing but garbage for a while is no carrier. One that sends some between its audio is only odd.
MAX_MALFORMED = 50
MAX_GARBAGE_S = 10.0
TRY_AGAIN_LATER = 1013
POLICY_VIOLATION = 1008
INTERNAL_ERROR = 1011


async def media_stream(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """ASGI entry point of `WS /api/ws/telephony/voice-agent/stream`."""
    await receive()  # websocket.connect
    if not _signature_is_acceptable(scope):
        await send({"type": "websocket.close", "code": 4403})  # before accept: the carrier sees a 403
        return
    if worker.is_draining:
        await send({"type": "websocket.close", "code": TRY_AGAIN_LATER})
        return
    await send({"type": "websocket.accept"})
    outbox = Outbox(send)
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            start = await _wait_for_start(receive)
            tenant, plan = await _admit(start)
    except _SocketClosed:
        return
    except (TimeoutError, TokenError, NoTenantError, messages.MalformedMessageError) as error:
        logger.warning("A media socket was turned away.", extra={"why": type(error).__name__})
        await outbox.close(POLICY_VIOLATION)
        return
    except Exception:  # the database is away, or the token was none: the carrier goes on with call-continue
        logger.exception("A media socket could not be admitted.")
        await outbox.close(INTERNAL_ERROR)
        return
    with charged_to(plan.purpose) if plan.purpose is not None else nullcontext():
        await _carry(tenant, plan, start, receive, outbox, scope.get("extensions", {}).get(DIRECT_EXTENSION))


def _signature_is_acceptable(scope: dict[str, Any]) -> bool:
    """A handshake that is signed must be signed rightly; browsers cannot sign, so the token decides about the rest."""
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    signature = headers.get(SIGNATURE_HEADER.lower())
    if signature is None:
        return True
    return signatures().is_valid_stream(stream_url(), signature, headers.get(SETTINGS_HEADER.lower()))


class _SocketClosed(Exception):
    pass


async def _wait_for_start(receive: Receive) -> messages.Start:
    """Raises MalformedMessageError for a `start` that is none unless a right one follows at once, and for too much else."""
    patience_s: float | None = None
    for _ in range(MAX_MALFORMED):
        try:
            async with asyncio.timeout(patience_s):
                message = await receive()
        except TimeoutError:
            raise messages.MalformedMessageError("a start that is none") from None
        if message["type"] == "websocket.disconnect":
            raise _SocketClosed
        try:
            data = messages.parse(message.get("text") or "")
        except messages.MalformedMessageError:
            continue
        if data["event"] == "start":
            with suppress(messages.MalformedMessageError):
                return messages.decode_start(data)
            patience_s = SECOND_START_S
    raise messages.MalformedMessageError("no start")


async def _admit(start: messages.Start) -> tuple[Tenant, CallPlan]:
    """Raises TokenError or NoTenantError."""
    token = start.parameters.get(PARAMETER, "")
    if not _TOKEN.fullmatch(token):
        raise TokenError("not a token of ours")
    if start.encoding != "audio/x-mulaw" or start.sample_rate_hz != 8000 or not start.stream_sid:
        raise TokenError("not a stream we understand")
    tenant = await database_sync_to_async(find_tenant, thread_sensitive=False)(schema_of(token))
    if not tenant.is_active:
        raise TokenError("the organisation is switched off")
    plan = await in_tenant(
        tenant,
        streams.begin_stream,
        tenant=tenant,
        token=token,
        call_sid=start.call_sid,
        stream_sid=start.stream_sid,
    )
    return tenant, plan


async def _carry(
    tenant: Tenant, plan: CallPlan, start: messages.Start, receive: Receive, outbox: Outbox, direct: Direct | None
) -> None:
    conversation = Conversation(plan, start, outbox)
    worker.opened(id(conversation), OpenSocket(plan.call_sid, plan.schema))
    background = [
        asyncio.create_task(_pump(conversation, receive, direct)),
        asyncio.create_task(conversation.finished.wait()),
    ]
    control = asyncio.create_task(_obey(conversation))
    if plan.record:
        recording = asyncio.create_task(_record(tenant, plan))
        recording.add_done_callback(lambda task: task.cancelled() or task.exception())
    try:
        await asyncio.wait(background, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (*background, control):
            task.cancel()
        try:
            await _end(tenant, conversation, outbox)
        finally:
            worker.closed(id(conversation))
            await end_tasks(*background, control)


async def _end(tenant: Tenant, conversation: Conversation, outbox: Outbox) -> None:
    try:
        # What is to happen next must be known before the carrier, seeing the socket close, comes to ask.
        await _remember_end(tenant, conversation)
    finally:
        try:
            await outbox.close()
        finally:
            await conversation.close()


# What a message can make us trip over that is JSON, and not what the carrier's reference says.
_ODD = (KeyError, TypeError, ValueError, AttributeError, OverflowError)


class _Inbound:
    """From the carrier to the conversation: the path every frame of the caller's audio takes."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._caller_audio = conversation.caller_audio
        self._last_chunk = 0
        self._malformed = 0  # since the last frame of audio
        self._frames_then = -1
        self._garbage_since = 0.0

    def take(self, text: str | bytes) -> None:
        """Take one message. Whatever is in it, the next one is taken too."""
        try:
            data = messages.parse(text)
            if data["event"] == "media":
                if self._is_in_order(int(data["media"].get("chunk") or 0)):
                    self._caller_audio(messages.media_payload(data))
                return
            message = messages.decode(data)
        except (messages.MalformedMessageError, *_ODD):
            self.count_malformed()
            return
        try:
            self._conversation.carrier_message(message)
        except Exception:
            extra = {"call": self._conversation.plan.call_id, "message": type(message).__name__}
            logger.exception("A message of the carrier's could not be handled.", extra=extra)

    def _is_in_order(self, number: int) -> bool:
        """A chunk repeated or a little late would be out of place; a great leap back is a count that began anew."""
        if number and 0 <= self._last_chunk - number < REORDER_WINDOW:
            self._conversation.frames_dropped += 1
            return False
        self._last_chunk = number
        return True

    def count_malformed(self) -> None:
        """End the call when for a while nothing but garbage has come; audio in between makes it a carrier again."""
        frames, now = self._conversation.hearing.frames, time.monotonic()
        if frames != self._frames_then:
            self._malformed, self._garbage_since, self._frames_then = 0, now, frames
        self._malformed += 1
        if self._malformed >= MAX_MALFORMED and now - self._garbage_since >= MAX_GARBAGE_S:
            self._conversation.finished.set()


async def _pump(conversation: Conversation, receive: Receive, direct: Direct | None) -> None:
    """Until the socket closes. A server that can calls back for each message, and only the end comes through here."""
    inbound = _Inbound(conversation)
    if direct is not None:
        conversation.outbox.write_directly = direct(inbound.take)
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        text = message.get("text")
        if text is None:
            inbound.count_malformed()
        else:
            inbound.take(text)


async def _obey(conversation: Conversation) -> None:
    """Carry out what members ask for on the call's page. Redis may go and come back meanwhile."""
    layer = get_channel_layer()
    while True:
        try:
            channel = await layer.new_channel()
            await layer.group_add(control_group(conversation.plan.call_id), channel)
            while True:
                _carry_out(conversation, await layer.receive(channel))
        except (RedisError, OSError):
            await asyncio.sleep(1.0)


def _carry_out(conversation: Conversation, message: dict[str, Any]) -> None:
    try:
        conversation.command(message)
    except Exception:  # the next command is another one
        extra = {"call": conversation.plan.call_id, "command": message.get("type")}
        logger.exception("A command could not be carried out.", extra=extra)


_remembering: set[asyncio.Task[None]] = set()  # an event loop keeps no task alive by itself


async def _remember_end(tenant: Tenant, conversation: Conversation) -> None:
    """Store what was decided, and wait for it as long as the caller can. Behind them it is tried on until it is stored."""
    task = asyncio.create_task(_store_end(tenant, conversation))
    _remembering.add(task)
    task.add_done_callback(_remembering.discard)
    await asyncio.wait([task], timeout=REMEMBER_FOR_S)
    if not task.done():
        extra = {"call": conversation.plan.call_id}
        logger.error("The end of a stream could not be stored yet; it is tried on.", extra=extra)


async def _store_end(tenant: Tenant, conversation: Conversation) -> None:
    """A later stream's record wins over ours, so being late does no harm."""
    call_id, pause_s, is_stored = conversation.plan.call_id, REMEMBER_PAUSE_S, False
    losses.ends_waiting += 1
    try:
        while not is_stored:
            try:
                await in_tenant(tenant, streams.end_stream, plan=conversation.plan, finish=conversation.finish)
                is_stored = True
            except (*AWAY, RedisError, OSError, TimeoutError, BrokerError) as error:
                logger.warning("The end of a stream waits.", extra={"call": call_id, "why": type(error).__name__})
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 1.2, REMEMBER_LATER_S)
    except Exception:  # trying again would not help: the sweep will find the call
        logger.exception("The end of a stream cannot be stored; the sweep will find it.", extra={"call": call_id})
    finally:
        losses.ends_waiting -= 1
        if not is_stored:
            losses.ends_lost += 1
            logger.error("The end of a stream is lost.", extra={"call": call_id})


async def _record(tenant: Tenant, plan: CallPlan) -> None:
    from telephony.services.recordings import start_recording

    await in_tenant(tenant, start_recording, call_id=plan.call_id)
