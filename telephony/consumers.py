"""The media socket: accept, authenticate, pump frames, close once. An ASGI application with its own receive loop.

Not Channels' consumer: its dispatch hops through a thread for every message and makes tasks for each.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import Any

from channels.layers import get_channel_layer
from django.db import DatabaseError, InterfaceError
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
from telephony.twilio import messages
from telephony.twilio.signature import SETTINGS_HEADER, SIGNATURE_HEADER
from telephony.workers import OpenSocket, worker
from tenants.context import NoTenantError, find_tenant, in_tenant
from tenants.models import Tenant

logger = logging.getLogger("telephony")

Receive = Callable[[], Awaitable[dict[str, Any]]]

Direct = Callable[[Callable[[bytes], None]], Callable[[str], bool]]

DIRECT_EXTENSION = "thanos.direct"  # offered by thanos.sockets
START_TIMEOUT_S = 10.0
# A carrier that asks what is next while the database is away cannot be answered either, so waiting loses nothing; closing
# before the decision is stored would have a caller who was told goodbye put through to the agent again.
REMEMBER_FOR_S = 60.0
REMEMBER_PAUSE_S = 0.25
REORDER_WINDOW = 500
MAX_MALFORMED = 50  # a peer that sends nothing but garbage is not a carrier
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
    except (TimeoutError, TokenError, NoTenantError) as error:
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
    for _ in range(MAX_MALFORMED):
        message = await receive()
        if message["type"] == "websocket.disconnect":
            raise _SocketClosed
        try:
            decoded = messages.decode(messages.parse(message.get("text") or ""))
        except messages.MalformedMessageError:
            continue
        if isinstance(decoded, messages.Start):
            return decoded
    raise _SocketClosed


async def _admit(start: messages.Start) -> tuple[Tenant, CallPlan]:
    """Raises TokenError or NoTenantError."""
    token = start.parameters.get(PARAMETER, "")
    if start.encoding != "audio/x-mulaw" or start.sample_rate_hz != 8000 or not start.stream_sid:
        raise TokenError("not a stream we understand")
    from channels.db import database_sync_to_async

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


class _Inbound:
    """From the carrier to the conversation: the path every frame of the caller's audio takes."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._caller_audio = conversation.caller_audio
        self._last_chunk = 0
        self._malformed = 0

    def take(self, text: str | bytes) -> None:
        try:
            data = messages.parse(text)
            if data["event"] == "media":
                if self._is_in_order(data["media"].get("chunk")):
                    self._caller_audio(messages.media_payload(data))
            else:
                self._conversation.carrier_message(messages.decode(data))
        except (messages.MalformedMessageError, KeyError, TypeError, ValueError, AttributeError):
            self.count_malformed()

    def _is_in_order(self, chunk: str | None) -> bool:
        """A chunk repeated or a little late would be out of place; a great leap back is a count that began anew."""
        number = int(chunk or 0)
        if number and 0 <= self._last_chunk - number < REORDER_WINDOW:
            self._conversation.frames_dropped += 1
            return False
        self._last_chunk = number
        return True

    def count_malformed(self) -> None:
        self._malformed += 1
        if self._malformed >= MAX_MALFORMED:
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
                conversation.command(await layer.receive(channel))
        except (RedisError, OSError):
            await asyncio.sleep(1.0)


async def _remember_end(tenant: Tenant, conversation: Conversation) -> None:
    finish = conversation.finish
    try:
        async with asyncio.timeout(REMEMBER_FOR_S):
            while True:
                try:
                    await in_tenant(tenant, streams.end_stream, plan=conversation.plan, finish=finish)
                    return
                except (DatabaseError, InterfaceError):
                    await asyncio.sleep(REMEMBER_PAUSE_S)
    except Exception:  # the call is over either way, and the rest of it must be put in order
        call_id = conversation.plan.call_id
        logger.exception("The end of a stream could not be stored; the sweep will find it.", extra={"call": call_id})


async def _record(tenant: Tenant, plan: CallPlan) -> None:
    from telephony.services.recordings import start_recording

    await in_tenant(tenant, start_recording, call_id=plan.call_id)
