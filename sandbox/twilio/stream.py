"""The carrier's end of one media stream, in real time: a frame each way every 20 ms."""

from __future__ import annotations

import asyncio
import base64
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from sandbox.audio import FRAME_S
from sandbox.caller import Caller
from sandbox.twilio.playback import Playback
from sandbox.twilio.signing import sign


@dataclass
class StreamFaults:
    """What goes wrong with a stream."""

    lose_after_s: float | None = None  # the socket breaks without `stop`
    delay_s: float = 0.0  # every message from us comes later
    garbage: list[str] = field(default_factory=list)  # sent as they are, before the audio begins
    repeat_chunks: bool = False
    never_start: bool = False
    parameters: dict[str, str] | None = None  # instead of those in the TwiML
    call_sid: str | None = None


class Stream:
    """Carries `caller` until one side ends. `on_event(kind, detail)` hears of what happens."""

    def __init__(
        self,
        *,
        url: str,
        call_sid: str,
        account_sid: str,
        auth_token: str,
        parameters: dict[str, str],
        caller: Caller,
        on_event: Callable[..., None],
        faults: StreamFaults,
    ) -> None:
        self.url = url
        self.stream_sid = "MZ" + uuid.uuid4().hex
        self.call_sid = call_sid
        self.account_sid = account_sid
        self.auth_token = auth_token
        self.parameters = parameters
        self.caller = caller
        self.on_event = on_event
        self.faults = faults
        self.playback = Playback()
        self.sequence = 0
        self.frames_received = 0
        self.clears = 0
        self.marks: list[str] = []
        self.closed_by_server = False
        self._late: asyncio.Queue[tuple[float, dict[str, Any]]] = asyncio.Queue()

    async def run(self) -> str:
        """Return why it ended: "server" (it closed), "caller" (hung up), "lost", or "refused"."""
        headers = sign(self.auth_token, self.url, {})
        try:
            async with aiohttp.ClientSession() as session:
                async with session.ws_connect(self.url, headers=headers, compress=0, max_msg_size=1 << 22) as socket:
                    return await self._carry(socket)
        except aiohttp.WSServerHandshakeError as error:
            self.on_event("stream-refused", status=error.status)
            return "refused"
        except aiohttp.ClientError as error:
            self.on_event("stream-refused", error=type(error).__name__)
            return "refused"

    async def _carry(self, socket: aiohttp.ClientWebSocketResponse) -> str:
        await self._send(socket, {"event": "connected", "protocol": "Call", "version": "1.0.0"}, numbered=False)
        for text in self.faults.garbage:
            await socket.send_str(text)
        if not self.faults.never_start:
            await self._send(socket, self._start())
        reader = asyncio.create_task(self._read(socket))
        writer = asyncio.create_task(self._speak(socket))
        try:
            done, _ = await asyncio.wait([reader, writer], return_when=asyncio.FIRST_COMPLETED)
            return await self._outcome(done, reader)
        finally:
            for task in (reader, writer):
                task.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)

    async def _outcome(self, done: set[asyncio.Task[str]], reader: asyncio.Task[str]) -> str:
        if self.caller.wants_to_hang_up:
            return "caller"
        try:
            return next(iter(done)).result()
        except (ConnectionError, aiohttp.ClientError):  # we were writing when the server closed
            await asyncio.wait([reader], timeout=1)
            return "server"

    def _start(self) -> dict[str, Any]:
        parameters = self.faults.parameters if self.faults.parameters is not None else self.parameters
        start = {
            "streamSid": self.stream_sid,
            "accountSid": self.account_sid,
            "callSid": self.faults.call_sid or self.call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": parameters,
        }
        return {"event": "start", "streamSid": self.stream_sid, "start": start}

    async def _send(
        self, socket: aiohttp.ClientWebSocketResponse, message: dict[str, Any], *, numbered: bool = True
    ) -> None:
        if numbered:
            self.sequence += 1
            message["sequenceNumber"] = str(self.sequence)
        if self.faults.delay_s:
            await self._late.put((time.monotonic() + self.faults.delay_s, message))
            return
        await socket.send_str(json.dumps(message))

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> str:
        async for message in socket:
            if message.type != aiohttp.WSMsgType.TEXT:
                break
            await self._take(socket, json.loads(message.data))
        self.closed_by_server = True
        return "server"

    async def _take(self, socket: aiohttp.ClientWebSocketResponse, message: dict[str, Any]) -> None:
        match message["event"]:
            case "media":
                self.frames_received += 1
                self.playback.add_audio(base64.b64decode(message["media"]["payload"]))
            case "mark":
                await self._return_marks(socket, self.playback.add_mark(message["mark"]["name"]))
            case "clear":
                self.clears += 1
                if self.playback.is_playing:
                    self.on_event("cleared")
                await self._return_marks(socket, self.playback.clear())

    async def _return_marks(self, socket: aiohttp.ClientWebSocketResponse, names: list[str]) -> None:
        for name in names:
            self.marks.append(name)
            await self._send(socket, {"event": "mark", "streamSid": self.stream_sid, "mark": {"name": name}})

    async def _speak(self, socket: aiohttp.ClientWebSocketResponse) -> str:
        begun = time.monotonic()
        tick = 0
        while True:
            heard, marks = self.playback.tick()
            await self._return_marks(socket, marks)
            said = self.caller.frame(heard)
            if not self.faults.never_start:
                await self._media(socket, said, tick)
            while self.caller.digits:
                digit = {"track": "inbound_track", "digit": self.caller.digits.pop(0)}
                await self._send(socket, {"event": "dtmf", "streamSid": self.stream_sid, "dtmf": digit})
            await self._send_late(socket)
            if self.caller.wants_to_hang_up:
                await self.stop(socket)
                return "caller"
            tick += 1
            if self.faults.lose_after_s is not None and tick * FRAME_S >= self.faults.lose_after_s:
                self.faults.lose_after_s = None
                self._abort(socket)
                return "lost"
            await asyncio.sleep(max(0.0, begun + tick * FRAME_S - time.monotonic()))

    async def _media(self, socket: aiohttp.ClientWebSocketResponse, audio: bytes, tick: int) -> None:
        media = {
            "track": "inbound",
            "chunk": str(tick + 1),
            "timestamp": str(tick * 20),
            "payload": base64.b64encode(audio).decode(),
        }
        await self._send(socket, {"event": "media", "streamSid": self.stream_sid, "media": media})
        if self.faults.repeat_chunks and tick % 7 == 3:
            await self._send(socket, {"event": "media", "streamSid": self.stream_sid, "media": media})

    async def _send_late(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        while not self._late.empty():
            due, message = self._late._queue[0]  # type: ignore[attr-defined]
            if due > time.monotonic():
                return
            self._late.get_nowait()
            await socket.send_str(json.dumps(message))

    async def stop(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        body = {"accountSid": self.account_sid, "callSid": self.call_sid}
        await self._send(socket, {"event": "stop", "streamSid": self.stream_sid, "stop": body})
        await socket.close()

    @staticmethod
    def _abort(socket: aiohttp.ClientWebSocketResponse) -> None:
        transport = socket._response.connection.transport if socket._response.connection else None
        if transport is not None:
            transport.abort()
