"""The telephone network: numbers and their webhooks, calls, recordings, and the people who may pick up."""

from __future__ import annotations

import asyncio
import logging
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from email.utils import formatdate
from typing import Any

import aiohttp

from sandbox.caller import Caller, wav
from sandbox.twilio.call import CallFaults, CarrierCall
from sandbox.twilio.signing import sign
from sandbox.twilio.texts import Texts

logger = logging.getLogger("sandbox.twilio")


@dataclass
class NumberWebhooks:
    voice_url: str
    status_url: str = ""
    fallback_url: str = ""
    sms_url: str = ""


@dataclass
class Recording:
    sid: str
    call_sid: str
    source: str
    callback: str = ""
    audio: bytes = b""
    channels: int = 1
    status: str = "in-progress"
    deleted: bool = False


@dataclass
class Network:
    account_sid: str
    auth_token: str
    public_base_url: str
    api_url: str = ""
    ring_s: float = 0.3
    fast_speech: bool = False
    price_per_minute: Decimal | None = None  # None: prices are not known yet
    people: dict[str, str] = field(default_factory=dict)  # number → how dialling it ends
    numbers: dict[str, dict[str, Any]] = field(default_factory=dict)  # SID → owned number
    calls: dict[str, CarrierCall] = field(default_factory=dict)
    recordings: dict[str, Recording] = field(default_factory=dict)
    webhook_ms: list[float] = field(default_factory=list)
    texts: Texts = field(init=False)
    _running: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.texts = Texts(self)

    @property
    def sent_messages(self) -> list[dict[str, str]]:
        """Text messages that were taken from the product, oldest first."""
        return self.texts.taken

    def webhooks_of(self, number: str) -> NumberWebhooks:
        """A number nobody has configured is pointed where the installation under test answers."""
        for owned in self.numbers.values():
            if owned["phone_number"] == number and owned.get("voice_url"):
                return NumberWebhooks(
                    owned["voice_url"],
                    owned.get("status_callback", ""),
                    owned.get("voice_fallback_url", ""),
                    owned.get("sms_url", ""),
                )
        base = f"{self.public_base_url}/api/webhooks"
        return NumberWebhooks(
            f"{base}/incoming-call", f"{base}/call-status", f"{base}/call-continue", f"{base}/incoming-sms"
        )

    def place(self, *, from_number: str, to_number: str, caller: Caller, faults: CallFaults | None = None) -> CarrierCall:
        """Start a call and return it at once."""
        call = CarrierCall(self, from_number=from_number, to_number=to_number, caller=caller, faults=faults)
        self.calls[call.sid] = call
        task = asyncio.create_task(self._run(call))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return call

    async def _run(self, call: CarrierCall) -> None:
        await call.run()
        for recording in self.recordings.values():
            if recording.call_sid == call.sid and recording.status == "in-progress":
                await self.finish_recording(recording, call)

    def new_recording(self, call: CarrierCall, *, source: str, audio: bytes = b"", callback: str = "") -> str:
        sid = "RE" + uuid.uuid4().hex
        status = "completed" if audio else "in-progress"
        self.recordings[sid] = Recording(sid, call.sid, source, callback, audio, status=status)
        return sid

    async def finish_recording(self, recording: Recording, call: CarrierCall) -> None:
        length = min(len(call.caller.spoken), len(call.caller.heard))
        both = bytearray(length * 2)
        both[0::2] = call.caller.spoken[:length]
        both[1::2] = call.caller.heard[:length]
        recording.audio, recording.channels = bytes(both), 2
        recording.status = "completed" if length else "absent"
        if recording.callback:
            await self.report_recording(recording.sid, recording.callback)

    def recording_wav(self, sid: str) -> bytes:
        recording = self.recordings[sid]
        return wav(recording.audio, channels=recording.channels)

    async def report_recording(self, sid: str, url: str) -> None:
        recording = self.recordings[sid]
        call = self.calls[recording.call_sid]
        seconds = len(recording.audio) // (8000 * recording.channels)
        form = {
            "AccountSid": self.account_sid,
            "CallSid": call.sid,
            "RecordingSid": sid,
            "RecordingStatus": recording.status,
            "RecordingDuration": str(seconds),
            "RecordingChannels": str(recording.channels),
            "RecordingSource": recording.source,
            "RecordingUrl": f"{self.api_url}/2010-04-01/Accounts/{self.account_sid}/Recordings/{sid}",
            "RecordingStartTime": formatdate(),
        }
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15)) as session:
            try:
                await session.post(url, data=form, headers=sign(self.auth_token, url, form))
            except aiohttp.ClientError as error:
                logger.warning("A recording callback was lost.", extra={"why": type(error).__name__})

    async def close(self) -> None:
        await self.texts.close()
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
