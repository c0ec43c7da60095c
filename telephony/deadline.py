"""One deadline for everything a webhook of the carrier waits for: the pool, the database, Redis, locks, all together.

The carrier hangs up on a caller whose webhook takes 15 seconds, and each of those waits has a limit of its own that says
nothing about their sum. So the request goes on in its thread, whose waits all end, and at the deadline the carrier is told
to pause and ask again; whatever the late request stores is found by the next one.

A webhook of a kind nobody can wait for gets 503. When many requests are late already, new ones are not begun: threads
and connections are what is missing then.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from django.conf import settings
from django.http import QueryDict

from telephony.services.carrier import signatures
from telephony.twilio import twiml
from telephony.twilio.signature import SETTINGS_HEADER, SIGNATURE_HEADER
from telephony.webhooks import CARRIER_PATHS, DATABASE_PAUSE_S, TWIML_PATHS, ask_again_url

logger = logging.getLogger("telephony")

DEADLINE_S = 3.0
MAX_LATE = 64
MAX_BODY_BYTES = 64 * 1024

_late: set[asyncio.Task[None]] = set()


def within_deadline(application: Any) -> Any:
    """Return the ASGI application, with the carrier's webhooks answered in time."""

    async def timed(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] not in CARRIER_PATHS:
            await application(scope, receive, send)
            return
        await _Exchange(application, scope, receive, send).run()

    return timed


class _Exchange:
    """One request: what its body was, and whether its answer has begun."""

    def __init__(self, application: Any, scope: Any, receive: Any, send: Any) -> None:
        self._application, self._scope, self._receive, self._send = application, scope, receive, send
        self._body = bytearray()
        self._is_read = False
        self._has_begun = False
        self._is_over = False

    async def run(self) -> None:
        if len(_late) >= MAX_LATE:
            while not self._is_read and (await self.receive())["type"] == "http.request":
                continue
            logger.warning("A webhook was not begun: too many are late.", extra={"path": self._scope["path"]})
            await self._answer_late()
            return
        task = asyncio.ensure_future(self._application(self._scope, self.receive, self.send))
        try:
            await asyncio.wait({task}, timeout=DEADLINE_S)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if task.done() or self._has_begun:
            await task
            return
        self._is_over = True
        _late.add(task)
        task.add_done_callback(_forget)
        logger.warning("A webhook was not answered in time.", extra={"path": self._scope["path"]})
        await self._answer_late()

    async def receive(self) -> Any:
        message = await self._receive()
        if message["type"] == "http.request":
            if len(self._body) <= MAX_BODY_BYTES:
                self._body += message.get("body", b"")
            self._is_read = not message.get("more_body", False)
        return message

    async def send(self, message: Any) -> None:
        if self._is_over:
            return  # the carrier has its answer
        self._has_begun = True
        await self._send(message)

    async def _answer_late(self) -> None:
        status, kind, text = self._late_answer()
        body = text.encode()
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    def _late_answer(self) -> tuple[int, str, str]:
        path, query = self._scope["path"], self._scope["query_string"].decode("latin-1")
        form = QueryDict(bytes(self._body[: MAX_BODY_BYTES + 1]), encoding="utf-8")
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in self._scope["headers"]}
        url = f"{settings.PUBLIC_URL}{path}{'?' + query if query else ''}"
        signature, header = headers.get(SIGNATURE_HEADER.lower()), headers.get(SETTINGS_HEADER.lower())
        if not signatures().is_valid(url, form, signature, header):
            return 403, "text/plain", "The signature does not fit."
        again = ask_again_url(path, QueryDict(query), form) if path in TWIML_PATHS else ""
        if not again:
            return 503, "text/plain", "Not available."
        return 200, "text/xml", twiml.wait_and_ask_again(url=again, seconds=DATABASE_PAUSE_S)


def _forget(task: asyncio.Task[None]) -> None:
    _late.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("A late webhook failed.", exc_info=error)
