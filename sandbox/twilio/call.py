"""One call at the carrier: rings the number, follows its TwiML, and reports what becomes of it."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin
from xml.etree import ElementTree

import aiohttp

from sandbox.audio import FRAME_S, SILENT_FRAME, frames
from sandbox.caller import Caller
from sandbox.speech import speak
from sandbox.twilio.signing import sign
from sandbox.twilio.stream import Stream, StreamFaults

if TYPE_CHECKING:
    from sandbox.twilio.network import Network

logger = logging.getLogger("sandbox.twilio")

WEBHOOK_TIMEOUT_S = 15.0
MAX_STEPS = 40


@dataclass
class CallFaults:
    """What goes wrong with a call's callbacks and streams."""

    stream: StreamFaults = field(default_factory=StreamFaults)
    no_status: bool = False
    status_twice: bool = False
    status_before_end: bool = False  # the final status is reported while the stream still runs
    status_delay_s: float = 0.0


class CarrierCall:
    def __init__(
        self, network: Network, *, from_number: str, to_number: str, caller: Caller, faults: CallFaults | None = None
    ) -> None:
        self.network = network
        self.sid = "CA" + uuid.uuid4().hex
        self.from_number = from_number
        self.to_number = to_number
        self.caller = caller
        self.faults = faults or CallFaults()
        self.status = "ringing"
        self.begun = time.monotonic()
        self.ended_at: float | None = None
        self.events: list[dict[str, Any]] = []
        self.listeners: list[Callable[[dict[str, Any]], None]] = []
        self.streams: list[Stream] = []
        self.twiml: list[str] = []
        self.spoken: list[str] = []
        self.recordings: list[str] = []
        self._instructions: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._sequence = 0
        self.done = asyncio.Event()

    # --- what others see -----------------------------------------------------------------------------------------

    @property
    def duration_s(self) -> int | None:
        return None if self.ended_at is None else max(0, round(self.ended_at - self.begun))

    def note(self, kind: str, **detail: Any) -> None:
        event = {"at_s": round(time.monotonic() - self.begun, 2), "kind": kind, **detail}
        self.events.append(event)
        for listener in self.listeners:
            listener(event)

    def update(self, *, url: str = "", twiml: str = "", status: str = "") -> None:
        """New instructions from the REST API, which replace what runs."""
        if status in ("completed", "canceled"):
            self._instructions.put_nowait(("end", status))
        else:
            self._instructions.put_nowait(("twiml", twiml) if twiml else ("url", url))

    # --- the call ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        webhooks = self.network.webhooks_of(self.to_number)
        self.note("ringing", sid=self.sid, from_number=self.from_number, to_number=self.to_number)
        try:
            instructions: tuple[str, str] | None = ("url", webhooks.voice_url)
            for _ in range(MAX_STEPS):
                if instructions is None or instructions[0] == "end":
                    break
                instructions = await self._follow(instructions)
        finally:
            self.ended_at = time.monotonic()
            self.status = "completed"
            self.note("ended", duration_s=self.duration_s)
            try:
                await self._report_end(webhooks.status_url)
            finally:
                self.done.set()

    async def _follow(self, instructions: tuple[str, str]) -> tuple[str, str] | None:
        """Get a document and follow it; return where to go next, or None at the end of the call."""
        kind, value = instructions
        base = value if kind == "url" else self.network.webhooks_of(self.to_number).voice_url
        text = await self._fetch(value, {}) if kind == "url" else value
        while text is not None:
            self.twiml.append(text)
            outcome = await self._interruptible(self._document(text, base))
            if isinstance(outcome, tuple) or outcome is None:
                return outcome
            text, base = outcome.text, outcome.base
        return None

    async def _interruptible(self, work: Awaitable[Any]) -> Any:
        """Run a document unless the REST API brings other instructions first."""
        task = asyncio.ensure_future(work)
        other = asyncio.create_task(self._instructions.get())
        done, _ = await asyncio.wait([task, other], return_when=asyncio.FIRST_COMPLETED)
        if other in done:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return other.result()
        other.cancel()
        return task.result()

    async def _document(self, text: str, base: str) -> Any:
        for verb in ElementTree.fromstring(text):
            handler = _VERBS.get(verb.tag)
            if handler is None:
                logger.warning("TwiML verb not known.", extra={"verb": verb.tag})
                continue
            outcome = await handler(self, verb, base)
            if outcome is not None:
                return None if outcome is END else outcome
        return None

    async def _fetch(self, url: str, extra: dict[str, str]) -> str | None:
        """Request TwiML; a webhook that fails is asked once more when it could not be reached, then its fallback."""
        form = {**self._form(), **extra}
        for attempt in range(2):
            try:
                status, body = await self._post(url, form)
                if status == 200:
                    return body
                self.note("webhook-failed", status=status)
                break
            except (aiohttp.ClientConnectorError, aiohttp.ServerDisconnectedError, ConnectionError) as error:
                self.note("webhook-unreachable", error=type(error).__name__)
                await asyncio.sleep(0.5 + attempt)
            except (TimeoutError, aiohttp.ClientError) as error:
                self.note("webhook-failed", error=type(error).__name__)
                break
        fallback = self.network.webhooks_of(self.to_number).fallback_url
        if fallback and fallback != url and not extra.get("ErrorUrl"):
            return await self._fetch(fallback, {"ErrorCode": "11200", "ErrorUrl": url})
        return None

    async def _post(self, url: str, form: dict[str, str]) -> tuple[int, str]:
        headers = sign(self.network.auth_token, url, form)
        timeout = aiohttp.ClientTimeout(total=WEBHOOK_TIMEOUT_S)
        begun = time.perf_counter()
        async with aiohttp.ClientSession(timeout=timeout) as session:
            async with session.post(url, data=form, headers=headers) as response:
                body = await response.text()
        self.network.webhook_ms.append((time.perf_counter() - begun) * 1000)
        return response.status, body

    def _form(self) -> dict[str, str]:
        return {
            "CallSid": self.sid,
            "AccountSid": self.network.account_sid,
            "ApiVersion": "2010-04-01",
            "From": self.from_number,
            "StirVerstat": "TN-Validation-Passed-A",
            "To": self.to_number,
            "Caller": self.from_number,
            "Called": self.to_number,
            "CallStatus": self.status,
            "Direction": "inbound",
            "FromCity": "",
            "FromState": "CA",
            "FromCountry": "US",
        }

    async def _report_end(self, url: str) -> None:
        if self.faults.no_status or not url:
            return
        await asyncio.sleep(self.faults.status_delay_s)
        for _ in range(2 if self.faults.status_twice else 1):
            await self.report_status(url)

    async def report_status(self, url: str, status: str = "completed") -> None:
        form = {**self._form(), "CallStatus": status, "SequenceNumber": str(self._sequence)}
        self._sequence += 1
        if status == "completed":
            form |= {"CallDuration": str(self.duration_s or 0), "Duration": "1"}
        try:
            await self._post(url, form)
        except (aiohttp.ClientError, TimeoutError) as error:
            self.note("callback-lost", error=type(error).__name__)

    # --- verbs ---------------------------------------------------------------------------------------------------

    def _answered(self) -> None:
        if self.status == "ringing":
            self.status = "in-progress"
            self.note("answered")

    async def _say(self, verb: ElementTree.Element, base: str) -> None:
        self._answered()
        text = (verb.text or "").strip()
        self.spoken.append(text)
        self.note("said", text=text)
        for frame in frames(await asyncio.to_thread(speak, text)):
            self.caller.frame(frame)
            await asyncio.sleep(0 if self.network.fast_speech else FRAME_S)

    async def _pause(self, verb: ElementTree.Element, base: str) -> None:
        self._answered()
        await asyncio.sleep(float(verb.get("length", "1")))

    async def _redirect(self, verb: ElementTree.Element, base: str) -> tuple[str, str]:
        return ("url", urljoin(base, (verb.text or "").strip()))

    async def _hang_up(self, verb: ElementTree.Element, base: str) -> object:
        return END

    async def _connect(self, verb: ElementTree.Element, base: str) -> object | None:
        self._answered()
        noun = verb.find("Stream")
        if noun is None:
            return END
        stream = Stream(
            url=noun.get("url", ""),
            call_sid=self.sid,
            account_sid=self.network.account_sid,
            auth_token=self.network.auth_token,
            parameters={item.get("name", ""): item.get("value", "") for item in noun.findall("Parameter")},
            caller=self.caller,
            on_event=self.note,
            faults=self.faults.stream,
        )
        self.streams.append(stream)
        self.note("stream", number=len(self.streams))
        if self.faults.status_before_end:
            asyncio.get_running_loop().call_later(1.0, self._report_early)
        outcome = await stream.run()
        self.note("stream-ended", why=outcome)
        return END if outcome == "caller" else None

    def _report_early(self) -> None:
        self._early = asyncio.create_task(self.report_status(self.network.webhooks_of(self.to_number).status_url))

    async def _dial(self, verb: ElementTree.Element, base: str) -> Any:
        noun = verb.find("Number")
        number = ((noun.text if noun is not None else verb.text) or "").strip()
        self.note("dialling", number=number)
        outcome = self.network.people.get(number, "no-answer")
        await asyncio.sleep(self.network.ring_s)
        bridged = outcome == "completed"
        if noun is not None and noun.get("url") and outcome in ("completed", "declines"):
            bridged = await self._brief(urljoin(base, noun.get("url", "")), takes=outcome == "completed")
        outcome = "completed" if outcome == "declines" else outcome  # whoever picks up has answered, whatever they do
        self.note("dialled", number=number, outcome=outcome)
        action = verb.get("action")
        if not action:
            return None
        extra = {"DialCallStatus": outcome, "DialCallSid": "CA" + uuid.uuid4().hex, "DialBridged": str(bridged).lower()}
        return _Next(await self._fetch(urljoin(base, action), extra), urljoin(base, action))

    async def _brief(self, url: str, *, takes: bool) -> bool:
        """What the person who picked up hears before the caller; they press the key they are asked for, or hang up."""
        leg = {"CallSid": "CA" + uuid.uuid4().hex, "ParentCallSid": self.sid, "Direction": "outbound-dial"}
        text = await self._fetch(url, leg)
        gather = ElementTree.fromstring(text).find("Gather") if text else None
        if gather is None:
            return False
        said = "".join(gather.itertext()).strip()
        self.note("briefed", text=said)
        if not takes:
            return False
        keys = [word for word in said.replace(",", " ").split() if len(word) == 1 and word in "0123456789*#"]
        answer = await self._fetch(urljoin(url, gather.get("action", "")), {**leg, "Digits": keys[-1] if keys else "1"})
        return answer is not None and ElementTree.fromstring(answer).find("Hangup") is None

    async def _record(self, verb: ElementTree.Element, base: str) -> Any:
        sid = self.network.new_recording(self, source="RecordVerb", audio=SILENT_FRAME * 100)
        self.recordings.append(sid)
        self.note("recorded", sid=sid)
        if callback := verb.get("recordingStatusCallback"):
            await self.network.report_recording(sid, callback)
        action = verb.get("action")
        if not action:
            return None
        extra = {"RecordingSid": sid, "RecordingUrl": f"{self.network.api_url}/recordings/{sid}", "RecordingDuration": "2"}
        return _Next(await self._fetch(urljoin(base, action), extra), urljoin(base, action))


@dataclass(frozen=True, slots=True)
class _Next:
    text: str | None
    base: str


END = object()
_VERBS: dict[str, Callable[[CarrierCall, ElementTree.Element, str], Awaitable[Any]]] = {
    "Say": CarrierCall._say,
    "Pause": CarrierCall._pause,
    "Redirect": CarrierCall._redirect,
    "Hangup": CarrierCall._hang_up,
    "Reject": CarrierCall._hang_up,
    "Connect": CarrierCall._connect,
    "Dial": CarrierCall._dial,
    "Record": CarrierCall._record,
}
