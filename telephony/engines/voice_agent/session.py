"""The socket to the Voice Agent: an engine whose audio frames arrive as callbacks, straight from the parser.

A transport of our own rather than the SDK's: frames come without a task, a queue or a decompressor in between, the
handshake has a time limit, and a refused one keeps its status code.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from dataclasses import replace
from typing import Any, cast

import certifi
from picows import WSCloseCode, WSFrame, WSHandshakeError, WSListener, WSMsgType, WSTransport, ws_connect

from telephony.engines.base import (
    Behavior,
    EngineConfig,
    EngineError,
    Event,
    Failed,
    Notice,
    OnAudio,
    OnEvent,
    ToolRequest,
    UnknownEvent,
)
from telephony.engines.voice_agent import wire
from telephony.engines.voice_agent.settings import MANAGED_PROMPT_LIMIT, build_settings, think_block

logger = logging.getLogger("telephony.engine")

PATH = "/v1/agent/converse"
CONNECT_TIMEOUT_S = 5.0
KEEP_ALIVE_S = 5.0  # the provider gives up after about ten seconds without audio or a KeepAlive
MAX_FRAME_BYTES = 4 * 1024 * 1024
# Handshake answers after which trying again can help: too many sessions, or the server's own trouble.
RETRYABLE_STATUSES = frozenset({408, 429, 500, 502, 503, 504})


class _Listener(WSListener):  # type: ignore[misc]
    """picows calls these from the event loop, one frame at a time, in wire order."""

    def __init__(self, session: VoiceAgentSession) -> None:
        super().__init__()
        self._session = session

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.BINARY:
            self._session.on_audio(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.TEXT:
            self._session.receive_text(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.CLOSE:
            self._session.receive_close(cast("int", frame.get_close_code()))
            transport.send_close(frame.get_close_code())
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._session.receive_close(1006)

    def pause_writing(self) -> None:
        self._session.is_congested = True

    def resume_writing(self) -> None:
        self._session.is_congested = False


class VoiceAgentSession:
    """One session with the provider. Implements `telephony.engines.base.Engine`."""

    def __init__(self, *, config: EngineConfig, url: str, api_key: str, on_audio: OnAudio, on_event: OnEvent) -> None:
        self._config = config
        self._url = url.rstrip("/") + PATH
        self._api_key = api_key
        self.on_audio: OnAudio = on_audio
        self._on_event: OnEvent = on_event
        self._transport: WSTransport | None = None
        self._keep_alive: asyncio.Task[None] | None = None
        self._frames_sent = 0
        self._is_over = False
        self._has_garbled = False  # sent us something unreadable: logged once
        self.is_congested = False

    async def open(self) -> None:
        """Raises EngineError."""
        settings = wire.dumps(build_settings(self._config))
        self._transport = await self._connect()
        self._tell_if_cut(self._config.prompt)
        self._transport.send(WSMsgType.TEXT, settings)
        self._keep_alive = asyncio.create_task(self._keep_alive_while_quiet())

    async def _connect(self) -> WSTransport:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                transport, _ = await ws_connect(
                    lambda: _Listener(self),
                    self._url,
                    ssl_context=ssl.create_default_context(cafile=certifi.where()) if self._url.startswith("wss") else None,
                    extra_headers={"Authorization": f"Token {self._api_key}"},
                    enable_auto_ping=True,  # notices a provider that is gone without a word
                    auto_ping_idle_timeout=10,
                    auto_ping_reply_timeout=5,
                    max_frame_size=MAX_FRAME_BYTES,
                    max_redirects=0,
                )
        except TimeoutError:
            raise EngineError("CONNECT_TIMEOUT", retryable=True) from None
        except WSHandshakeError as error:
            status = int(error.response.status) if error.response else 0
            raise EngineError(f"HANDSHAKE_{status}", retryable=status in RETRYABLE_STATUSES) from None
        except OSError as error:
            raise EngineError("UNREACHABLE", retryable=True, description=type(error).__name__) from None
        return transport

    # called by the listener

    def receive_text(self, data: bytes) -> None:
        if self._is_over:
            return
        event: Event | None
        try:
            event = wire.decode(data)
        except ValueError as error:
            if not self._has_garbled:
                logger.warning("Voice agent sent a message that cannot be read.", extra={"why": type(error).__name__})
            self._has_garbled = True
            event = UnknownEvent(wire.UNREADABLE)
        if isinstance(event, Failed):
            self._is_over = True  # the socket closes after it: that close is no further news
        if event is not None:
            self._on_event(event)

    def receive_close(self, code: int) -> None:
        if not self._is_over:
            self._is_over = True
            self._on_event(Failed("CONNECTION_LOST", f"close code {code}", retryable=True))

    # called by the conversation

    def send_audio(self, audio: bytes) -> bool:
        if self.is_congested or self._transport is None:
            return False
        self._frames_sent += 1
        self._transport.send(WSMsgType.BINARY, audio)
        return True

    def say(self, text: str, behavior: Behavior) -> None:
        self._send(wire.inject_agent_message(text, behavior))

    def user_says(self, text: str) -> None:
        self._send(wire.inject_user_message(text))

    def answer_tool(self, request: ToolRequest, content: str) -> None:
        self._send(wire.function_call_response(request, content))

    def replace_prompt(self, prompt: str) -> None:
        block: dict[str, Any] = think_block(replace(self._config, prompt=prompt))
        self._send(wire.update_think(block))
        self._tell_if_cut(prompt)

    def _tell_if_cut(self, prompt: str) -> None:
        if len(prompt) > MANAGED_PROMPT_LIMIT:
            said = f"The prompt has {len(prompt)} characters, and the provider reads {MANAGED_PROMPT_LIMIT}."
            self._on_event(Notice("PROMPT_CUT", said))

    def _send(self, data: bytes) -> None:
        if self._transport is not None and not self._is_over:
            self._transport.send(WSMsgType.TEXT, data)

    async def close(self) -> None:
        self._is_over = True
        self.on_audio = _ignore_audio
        if self._keep_alive is not None:
            self._keep_alive.cancel()
        if self._transport is not None:
            transport, self._transport = self._transport, None
            transport.send_close(WSCloseCode.OK)
            transport.disconnect(graceful=True)

    async def _keep_alive_while_quiet(self) -> None:
        seen = -1
        while not self._is_over:
            await asyncio.sleep(KEEP_ALIVE_S)
            if self._frames_sent == seen:
                self._send(wire.keep_alive())
            seen = self._frames_sent


def _ignore_audio(audio: bytes) -> None:
    """A closed session's late audio belongs to nobody."""
