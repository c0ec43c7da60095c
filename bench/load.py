"""The load: many calls, of which this process plays both ends, the carrier and the voice agent.

A caller's frame carries its call, its number and the time it was sent; the agent echoes it, and when it is back at
the carrier its age is the time the server under test took for both directions (and what this process took to read
it, which counts against the server). Both ends are picows, so that one core carries the load of hundreds of calls.
"""

from __future__ import annotations

import asyncio
import binascii
import gc
import struct
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_connect, ws_create_server

FRAMES_A_SECOND = 50
FRAME_BYTES = 160
AGENT_PATH = b"/v1/agent/converse"
READY_TIMEOUT_S = 30.0
DRAIN_S = 0.3  # for frames still on their way when the sending ends
OPENING_AT_ONCE = 8

_TICKS = 20  # frames of all calls are spread over the 20 ms, as those of strangers are
_STAMP = struct.Struct("<dII2x")  # seconds, call, frame: 18 bytes, which is 24 in base64 without padding
_STAMP_IN_BASE64 = 24
_REST = binascii.b2a_base64(b"\xff" * (FRAME_BYTES - _STAMP.size), newline=False).decode()

now = time.perf_counter


class LoadError(RuntimeError):
    """The calls of a measurement could not be opened; what was measured would mean nothing."""


@dataclass
class Seen:
    """What happened to the frames of one measurement."""

    round_trips_s: list[float] = field(default_factory=list)
    ways_in_s: list[float] = field(default_factory=list)
    clears_s: list[float] = field(default_factory=list)
    sent: int = 0
    received: int = 0


class Load:
    """The agent's server, and the calls that are open."""

    def __init__(self) -> None:
        self.seen = Seen()
        self.agents: dict[int, WSTransport] = {}  # by call
        self.calls = 0  # that were ever opened; they are numbered from one

    @classmethod
    @asynccontextmanager
    async def running(cls, port: int) -> AsyncIterator[Load]:
        load = cls()
        server = await ws_create_server(load._agent_for, "127.0.0.1", port)
        gc.collect()
        gc.freeze()  # this process's own pauses are not the server's
        try:
            yield load
        finally:
            gc.unfreeze()
            server.close()
            for agent in load.agents.values():
                agent.disconnect(graceful=False)

    def _agent_for(self, request: WSUpgradeRequest) -> _Agent | None:
        return _Agent(self) if request.path == AGENT_PATH else None  # anything else, such as the carrier's REST, is a 404

    def next_number(self) -> int:
        self.calls += 1
        return self.calls

    def begin(self) -> Seen:
        self.seen = Seen()
        return self.seen

    async def open(self, count: int, opener: Callable[[Load], Awaitable[Call]]) -> list[Call]:
        """Open calls and return when the agent's audio has come back on each. Raises LoadError."""
        gate = asyncio.Semaphore(OPENING_AT_ONCE)

        async def one() -> Call:
            async with gate:
                call = await opener(self)
                deadline = now() + READY_TIMEOUT_S
                while not call.received:
                    if now() > deadline or call.is_over:
                        raise LoadError("a call was not answered")
                    call.send_frame()
                    await asyncio.sleep(0.02)
                return call

        return list(await asyncio.gather(*(one() for _ in range(count))))

    async def talk(self, calls: Sequence[Call], seconds: float) -> None:
        """Send each call's frames in real time, then wait for those still on their way."""
        shares = [calls[tick::_TICKS] for tick in range(_TICKS)]
        pause = 1 / (FRAMES_A_SECOND * _TICKS)
        begun = now()
        for tick in range(round(seconds / pause)):
            await asyncio.sleep(max(0.0, begun + tick * pause - now()))
            for call in shares[tick % _TICKS]:
                call.send_frame()
        await asyncio.sleep(DRAIN_S)

    def interrupt(self, call: Call) -> None:
        """The agent hears the caller begin to speak."""
        call.interrupted_at = now()
        self.agents[call.number].send(WSMsgType.TEXT, b'{"type":"UserStartedSpeaking"}')


class _Agent(WSListener):  # type: ignore[misc]
    """The voice agent's end of one call: it repeats what it hears, frame by frame."""

    def __init__(self, load: Load) -> None:
        super().__init__()
        self._load = load
        self._call: int | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        transport.send(WSMsgType.TEXT, b'{"type":"Welcome","request_id":"bench"}')

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.BINARY:
            audio = frame.get_payload_as_bytes()
            if len(audio) != FRAME_BYTES:
                return  # none of ours
            sent_at, call, _ = _STAMP.unpack_from(audio)
            if call > self._load.calls:
                return
            transport.send(WSMsgType.BINARY, audio)
            self._load.seen.ways_in_s.append(now() - sent_at)
            if self._call is None:
                self._call = call
                self._load.agents[call] = transport
        elif frame.msg_type == WSMsgType.TEXT:
            if orjson.loads(frame.get_payload_as_bytes())["type"] == "Settings":
                transport.send(WSMsgType.TEXT, b'{"type":"SettingsApplied"}')
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()


class Call(WSListener):  # type: ignore[misc]
    """The carrier's end of one call."""

    def __init__(self, load: Load, call_sid: str) -> None:
        super().__init__()
        self.number = load.next_number()
        self.call_sid = call_sid
        self.stream_sid = "MZ" + uuid.uuid4().hex
        self.received = 0
        self.interrupted_at = 0.0
        self.round_trips_s: list[float] | None = None  # of this call alone, for whoever asks
        self.is_over = False
        self._load = load
        self._frames = 0
        self._transport: WSTransport | None = None

    @classmethod
    async def connect(
        cls,
        load: Load,
        url: str,
        *,
        call_sid: str = "",
        parameters: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Call:
        call = cls(load, call_sid or "CA" + uuid.uuid4().hex)
        call._transport, _ = await ws_connect(lambda: call, url, extra_headers=headers or {}, max_redirects=0)
        start = {
            "streamSid": call.stream_sid,
            "accountSid": "AC" + "0" * 32,
            "callSid": call.call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": parameters or {},
        }
        call._send({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        call._send({"event": "start", "sequenceNumber": "1", "start": start, "streamSid": call.stream_sid})
        return call

    def _send(self, message: dict[str, object]) -> None:
        if self._transport is not None:
            self._transport.send(WSMsgType.TEXT, orjson.dumps(message))

    def send_frame(self) -> None:
        if self._transport is None or self.is_over:
            return
        self._frames += 1
        number = self._frames
        stamp = binascii.b2a_base64(_STAMP.pack(now(), self.number, number), newline=False).decode()
        text = (
            f'{{"event":"media","sequenceNumber":"{number + 1}","media":{{"track":"inbound","chunk":"{number}",'
            f'"timestamp":"{number * 20}","payload":"{stamp}{_REST}"}},"streamSid":"{self.stream_sid}"}}'
        )
        self._load.seen.sent += 1
        self._transport.send(WSMsgType.TEXT, text.encode())

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            self.is_over = True
            transport.send_close(frame.get_close_code())
            transport.disconnect()
            return
        if frame.msg_type != WSMsgType.TEXT:
            return
        text = frame.get_payload_as_bytes()
        key = text.find(b'"payload"')
        if key >= 0:
            begin = text.index(b'"', key + 9) + 1  # servers differ in the blank after the colon
            sent_at, call, _ = _STAMP.unpack(binascii.a2b_base64(text[begin : begin + _STAMP_IN_BASE64]))
            assert call == self.number, "a frame of another call"
            self.received += 1
            self._load.seen.received += 1
            self._load.seen.round_trips_s.append(now() - sent_at)
            if self.round_trips_s is not None:
                self.round_trips_s.append(now() - sent_at)
        elif b'"clear"' in text:
            self._load.seen.clears_s.append(now() - self.interrupted_at)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.is_over = True

    async def hang_up(self) -> None:
        """The caller hangs up; returns when the socket is closed."""
        if self._transport is None:
            return
        if not self.is_over:
            self._send({"event": "stop", "streamSid": self.stream_sid, "stop": {"callSid": self.call_sid}})
        try:
            async with asyncio.timeout(5):
                await self._transport.wait_disconnected()
        except TimeoutError:
            self._transport.disconnect(graceful=False)


async def hang_up(calls: Sequence[Call]) -> None:
    await asyncio.gather(*(call.hang_up() for call in calls))
