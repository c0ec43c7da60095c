"""Text messages of the carrier: what people write, what the product sends, and the news of what became of it.

As the carrier does, STOP is kept for each pair of numbers, and a message to somebody who wrote it is refused with 21610.
`fates` says, by number, how messages to it end; `order` how their news arrives, so that a test can mix them up.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp

from sandbox.twilio.signing import sign

if TYPE_CHECKING:
    from sandbox.twilio.network import Network

logger = logging.getLogger("sandbox.twilio")

STOP = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"})
START = frozenset({"START", "YES", "UNSTOP"})
HELP = frozenset({"HELP", "INFO"})
OPTED_OUT = 21610
NO_NUMBER = 21211


@dataclass
class Fate:
    """The statuses a message goes through, and the error code of the last one."""

    statuses: tuple[str, ...] = ("sent", "delivered")
    error_code: int | None = None


@dataclass
class Texts:
    network: Network
    taken: list[dict[str, str]] = field(default_factory=list)
    fates: dict[str, Fate] = field(default_factory=dict)  # by number
    refusals: dict[str, int] = field(default_factory=dict)  # number → error code of the request
    stopped: set[tuple[str, str]] = field(default_factory=set)  # (our number, theirs)
    answers_keywords: bool = False  # "advanced opt-out": the carrier answers, and says so by OptOutType
    reports: bool = False  # whether news are posted by themselves; tests often post them in an order of their own
    answered: list[int] = field(default_factory=list)  # statuses with which our posts were answered
    _running: set[asyncio.Task[None]] = field(default_factory=set)

    def refusal_of(self, form: dict[str, str]) -> int | None:
        to, sender = form.get("To", ""), form.get("From", "")
        if (sender, to) in self.stopped:
            return OPTED_OUT
        if code := self.refusals.get(to):
            return code
        return None if to.startswith("+") else NO_NUMBER

    def accept(self, form: dict[str, str]) -> dict[str, object]:
        sid, text = "SM" + uuid.uuid4().hex, form.get("Body", "")
        message = {"sid": sid, **form}
        self.taken.append(message)
        if self.reports and form.get("StatusCallback"):
            task = asyncio.create_task(self.report_all(message))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        segments = 1 if len(text) <= 160 else -(-len(text) // 153)
        body: dict[str, object] = {"sid": sid, "status": "queued", "to": form.get("To"), "from": form.get("From")}
        return {**body, "body": text, "num_segments": str(segments), "price": None, "price_unit": "USD"}

    async def report_all(self, message: dict[str, str]) -> None:
        fate = self.fates.get(message["To"], Fate())
        for position, status in enumerate(fate.statuses):
            is_last = position == len(fate.statuses) - 1
            await self.report(message, status, fate.error_code if is_last else None)

    async def report(self, message: dict[str, str], status: str, error_code: int | None = None) -> int:
        """Post one status callback; return how it was answered."""
        form = self.status_form(message, status, error_code)
        return await self._post(message["StatusCallback"], form)

    def status_form(self, message: dict[str, str], status: str, error_code: int | None = None) -> dict[str, str]:
        sid = message["sid"]
        form = {"MessageSid": sid, "SmsSid": sid, "MessageStatus": status, "SmsStatus": status}
        form |= {"AccountSid": self.network.account_sid, "ApiVersion": "2010-04-01"}
        form |= {"From": message["From"], "To": message["To"]}
        return form if error_code is None else {**form, "ErrorCode": str(error_code)}

    async def write(self, *, from_number: str, to_number: str, text: str, media: tuple[str, ...] = ()) -> tuple[str, int]:
        """Have somebody write to a number of the product; return the message's SID and how the webhook was answered."""
        form = self.incoming_form(from_number=from_number, to_number=to_number, text=text, media=media)
        return form["MessageSid"], await self._post(self.network.webhooks_of(to_number).sms_url, form)

    def incoming_form(self, *, from_number: str, to_number: str, text: str, media: tuple[str, ...] = ()) -> dict[str, str]:
        sid = ("MM" if media else "SM") + uuid.uuid4().hex
        form = {"MessageSid": sid, "SmsSid": sid, "SmsMessageSid": sid, "AccountSid": self.network.account_sid}
        form |= {"From": from_number, "To": to_number, "Body": text, "NumMedia": str(len(media)), "NumSegments": "1"}
        form |= {"SmsStatus": "received", "ApiVersion": "2010-04-01", "FromCity": "", "FromCountry": "US"}
        for position, kind in enumerate(media):
            form |= {f"MediaContentType{position}": kind, f"MediaUrl{position}": f"{self.network.api_url}/media/{position}"}
        if word := self._keyword(text, (to_number, from_number)):
            form |= {"OptOutType": word} if self.answers_keywords else {}
        return form

    def _keyword(self, text: str, pair: tuple[str, str]) -> str:
        said = text.strip().upper()
        if said in STOP:
            self.stopped.add(pair)
            return "STOP"
        if said in START:
            self.stopped.discard(pair)
            return "START"
        return "HELP" if said in HELP else ""

    async def _post(self, url: str, form: dict[str, str]) -> int:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15)) as session:
            try:
                async with session.post(url, data=form, headers=sign(self.network.auth_token, url, form)) as response:
                    self.answered.append(response.status)
                    return response.status
            except aiohttp.ClientError as error:
                logger.warning("A webhook of a text message was lost.", extra={"why": type(error).__name__})
                return 0

    async def close(self) -> None:
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
