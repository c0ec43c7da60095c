"""The provider's HTTP interface (v3), as far as the product uses it."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from sandbox.sendgrid import rules
from sandbox.sendgrid.account import LISTS, MailAccount
from sandbox.sendgrid.domains import AuthenticatedDomain, DomainRefused
from sandbox.sendgrid.faults import Fault, Kind
from sandbox.sendgrid.rules import Complaint

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
UNVERIFIED = (
    "The from address does not match a verified Sender Identity. Mail cannot be sent until this error is resolved. Visit"
    " https://sendgrid.com/docs/for-developers/sending-email/sender-identity/ to see the Sender Identity requirements"
)
WORDS = {
    401: "The provided authorization grant is invalid, expired, or revoked",
    403: "access forbidden",
    429: "too many requests",
    500: "internal server error",
    503: "service unavailable",
}


def errors(status: int, *complaints: Complaint) -> web.Response:
    found = complaints or (Complaint(WORDS.get(status, "error")),)
    return web.json_response({"errors": [complaint.as_json() for complaint in found]}, status=status)


class Api:
    def __init__(self, account: MailAccount) -> None:
        self.account = account

    def routes(self) -> list[web.RouteDef]:
        domains, lists = "/v3/whitelabel/domains", "/v3/suppression/{list:bounces|invalid_emails|spam_reports|unsubscribes}"
        one = domains + r"/{id:\d+}"
        return [
            web.post("/v3/mail/send", self._guard(self.send)),
            web.post("/v3/mail/batch", self._guard(self.new_batch)),
            web.post(domains, self._guard(self.add_domain)),
            web.get(domains, self._guard(self.list_domains), allow_head=False),
            web.get(one, self._guard(self.get_domain), allow_head=False),
            web.delete(one, self._guard(self.remove_domain)),
            web.post(one + "/validate", self._guard(self.validate_domain)),
            web.get(lists, self._guard(self.list_suppressed), allow_head=False),
            web.delete(lists + "/{address}", self._guard(self.lift)),
            web.delete("/v3/asm/suppressions/global/{address}", self._guard(self.lift)),
            web.get("/v3/scopes", self._guard(self.scopes), allow_head=False),
        ]

    def _guard(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            fault = self.account.faults.take(request.path)
            if fault is not None and fault.kind in (Kind.STATUS, Kind.INVALID, Kind.BREAK):
                return self._counted(request, self._refusal(request, fault))
            if request.headers.get("Authorization") != f"Bearer {self.account.api_key}":
                return self._counted(request, errors(401))
            answer = self._counted(request, await handler(request))
            return answer if fault is None else await self._spoilt(request, answer, fault)

        return guarded

    def _counted(self, request: web.Request, answer: web.StreamResponse) -> web.StreamResponse:
        if request.path == "/v3/mail/send":
            self.account.answers[answer.status] += 1
        return answer

    @staticmethod
    def _refusal(request: web.Request, fault: Fault) -> web.Response:
        if fault.kind is Kind.BREAK:
            _cut(request)
            return web.Response(status=499)  # nobody reads it
        if fault.kind is Kind.INVALID:
            return errors(400, Complaint(fault.message, fault.field))
        answer = errors(fault.status)
        if fault.status == 429:
            answer.headers["X-RateLimit-Limit"] = "600"
            answer.headers["X-RateLimit-Remaining"] = "0"
            answer.headers["X-RateLimit-Reset"] = str(int(time.time() + fault.after_s))
        return answer

    async def _spoilt(self, request: web.Request, answer: web.StreamResponse, fault: Fault) -> web.StreamResponse:
        """What has happened has happened; the answer goes wrong."""
        if fault.kind is Kind.DROP:
            _cut(request)
        else:
            wait_s = None if fault.kind is Kind.HANG else fault.after_s
            try:
                await asyncio.wait_for(self.account.closing.wait(), wait_s)
            except TimeoutError:
                pass
        return answer

    # --- sending -------------------------------------------------------------------------------------------------

    async def send(self, request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return errors(415, Complaint("Content-Type should be application/json."))
        raw = await _read(request)
        if raw is None:
            return errors(413, Complaint("The request is larger than 30 MB."))
        try:
            body = json.loads(raw)
        except ValueError:
            return errors(400, Complaint("Bad Request"))
        if found := rules.complaints_about(body, now=time.time()):
            return errors(400, *found[:100])
        if (batch := body.get("batch_id")) and batch not in self.account.batch_ids:
            return errors(400, Complaint("The batch_id is not valid.", "batch_id"))
        senders = {"from": body["from"]["email"]} | {
            f"personalizations.{index}.from": one["from"]["email"]
            for index, one in enumerate(body["personalizations"])
            if "from" in one
        }
        for field, sender in senders.items():
            if not self.account.may_send_from(sender):
                return errors(403, Complaint(UNVERIFIED, field))
        if ((body.get("mail_settings") or {}).get("sandbox_mode") or {}).get("enable"):
            return web.Response(status=200)
        posting = self.account.accept(body, raw)
        return web.Response(status=202, headers={"X-Message-Id": posting.id})

    async def new_batch(self, request: web.Request) -> web.Response:
        self.account.batch_ids.add(made := secrets.token_urlsafe(24))
        return web.json_response({"batch_id": made}, status=201)

    async def scopes(self, request: web.Request) -> web.Response:
        return web.json_response({"scopes": ["mail.send", "whitelabel.create", "whitelabel.read", "whitelabel.delete"]})

    # --- domains -------------------------------------------------------------------------------------------------

    async def add_domain(self, request: web.Request) -> web.Response:
        try:
            made = self.account.domains.add(await request.json())
        except ValueError:
            return errors(400, Complaint("Bad Request"))
        except DomainRefused as refused:
            return errors(400, Complaint(str(refused), refused.field))
        return web.json_response(made.as_json(), status=201)

    async def list_domains(self, request: web.Request) -> web.Response:
        wanted = request.query.get("domain", "").lower()
        start, size = int(request.query.get("offset", 0)), int(request.query.get("limit", 50))
        found = [made for made in self.account.domains.all.values() if wanted in made.domain]
        return web.json_response([made.as_json() for made in found[start : start + size]])

    def _domain(self, request: web.Request) -> AuthenticatedDomain | None:
        return self.account.domains.all.get(int(request.match_info["id"]))

    async def get_domain(self, request: web.Request) -> web.Response:
        found = self._domain(request)
        return web.json_response(found.as_json()) if found else errors(404, Complaint("not found"))

    async def remove_domain(self, request: web.Request) -> web.Response:
        found = self.account.domains.all.pop(int(request.match_info["id"]), None)
        return web.Response(status=204) if found else errors(404, Complaint("not found"))

    async def validate_domain(self, request: web.Request) -> web.Response:
        found = self._domain(request)
        return web.json_response(found.validate()) if found else errors(404, Complaint("not found"))

    # --- suppressions --------------------------------------------------------------------------------------------

    async def list_suppressed(self, request: web.Request) -> web.Response:
        wanted = LISTS[request.match_info["list"]]
        return web.json_response(
            [{"email": address} for address, reason in self.account.suppressed.items() if reason == wanted]
        )

    async def lift(self, request: web.Request) -> web.Response:
        wanted = LISTS[request.match_info.get("list", "unsubscribes")]
        address = request.match_info["address"].lower()
        if self.account.suppressed.get(address) != wanted:
            return errors(404, Complaint("not found"))
        del self.account.suppressed[address]
        return web.Response(status=204)


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


async def _read(request: web.Request) -> bytes | None:
    """Return the body, or None for one of 30 MB and more."""
    raw = bytearray()
    async for piece in request.content.iter_any():
        raw += piece
        if len(raw) >= rules.LARGEST_BODY:
            return None
    return bytes(raw)
