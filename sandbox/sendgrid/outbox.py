"""The outbox, for whoever develops: every message as its recipient gets it, and what a recipient can do with one."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import jinja2
from aiohttp import web

from sandbox.sendgrid import fates
from sandbox.sendgrid.account import MailAccount
from sandbox.sendgrid.letters import Copy
from sandbox.sendgrid.replies import reply

PAGES = Path(__file__).parent / "pages"
PAGE_SIZE = 50
ROOT = "/sandbox/mail"
POLICY = (
    "default-src 'none'; style-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# A message is a stranger's HTML: no scripts, no forms, an origin of its own.
BODY_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; img-src * data:;"
    " style-src 'unsafe-inline' *; font-src * data:; frame-ancestors 'self'"
)
PIXEL = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002014c003b")
ACTIONS = {
    "open": ("Open", "As a person would, images loaded"),
    "click": ("Click", "Follow the first link"),
    "bounce": ("Bounce", "The address turns out not to exist"),
    "spam": ("Report as spam", "And receive nothing from then on"),
    "unsubscribe": ("Unsubscribe at the provider", "And receive nothing from then on"),
    "one-click": ("Unsubscribe with one click", "As a mailbox's button does it: a POST to the List-Unsubscribe address"),
}


@dataclass(frozen=True, slots=True)
class State:
    word: str
    tone: str = ""
    shape: str = "○"


# The later of two says more of a message.
STATES = {
    "accepted": State("Accepted"),
    "processed": State("Processed"),
    "deferred": State("Deferred", "warn", "◔"),
    "delivered": State("Delivered", "good", "●"),
    "open": State("Opened", "good", "◉"),
    "click": State("Clicked", "good", "➚"),
    "bounce": State("Bounced", "bad", "✕"),
    "dropped": State("Dropped", "bad", "⊘"),
    "spamreport": State("Reported as spam", "bad", "▲"),
    "unsubscribe": State("Unsubscribed", "warn", "■"),
    "one-click": State("Unsubscribed with one click", "warn", "■"),
    "reply": State("Replied", "good", "↩"),
}


@dataclass(frozen=True, slots=True)
class Listed:
    key: str
    address: str
    subject: str
    at: float
    state: State


def state_of(event: str) -> State:
    return STATES.get(event, State(event))


def state_of_message(copy: Copy) -> State:
    """Return what says most of everything that happened to a message, whatever came last."""
    order = list(STATES)
    return state_of(max((event for event, _, _ in copy.events), key=order.index, default="accepted"))


def ago(at: float) -> str:
    seconds = time.time() - at
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {name} ago"
    return "just now" if seconds < 5 else f"{seconds:.0f} s ago"


def exact(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


class Outbox:
    def __init__(self, account: MailAccount) -> None:
        self.account = account
        loader = jinja2.FileSystemLoader(PAGES)
        self._pages = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
        self._pages.globals.update(ago=ago, exact=exact, state_of=state_of, fates=fates.FATES, actions=ACTIONS)

    def routes(self) -> list[web.RouteDef]:
        one = ROOT + "/messages/{key}"
        return [
            web.get(ROOT, self.list_messages),
            web.get(ROOT + "/style.css", self.style),
            web.get(ROOT + "/domains", self.list_domains),
            web.post(ROOT + r"/domains/{id:\d+}", self.from_here(self.publish)),
            web.get(one, self.message),
            web.get(one + "/body", self.body),
            web.get(one + "/open.gif", self.pixel),
            web.get(one + r"/click/{number:\d+}", self.follow),
            web.post(one + "/reply", self.from_here(self.reply)),
            web.post(one + "/{action}", self.from_here(self.act)),
        ]

    @staticmethod
    def from_here(
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Some other page in the developer's browser has no business here."""

        async def checked(request: web.Request) -> web.StreamResponse:
            if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
                raise web.HTTPForbidden(text="This form was sent from another site.")
            return await handler(request)

        return checked

    def _show(self, template: str, /, **values: Any) -> web.Response:
        text = self._pages.get_template(template).render(product_url=self.account.public_base_url, **values)
        headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store"}
        return web.Response(text=text, content_type="text/html", headers=headers)

    def _copy(self, request: web.Request) -> Copy:
        copy = self.account.find(request.match_info["key"])
        if copy is None:
            raise web.HTTPNotFound(text="There is no such message, or it is kept no longer.")
        return copy

    # --- looking -------------------------------------------------------------------------------------------------

    async def list_messages(self, request: web.Request) -> web.Response:
        wanted = request.query.get("q", "").strip()
        page = int(number) if (number := request.query.get("page", "1")).isdecimal() and int(number) else 1
        newest_first = (copy for posting in reversed(self.account.postings) for copy in reversed(posting.copies))
        found = (copy for copy in newest_first if wanted.lower() in copy.address)
        start = (page - 1) * PAGE_SIZE
        copies = list(islice(found, start, start + PAGE_SIZE + 1))
        messages = [
            Listed(copy.key, copy.address, copy.letter().subject, copy.posting.at, state_of_message(copy))
            for copy in copies[:PAGE_SIZE]
        ]
        more = len(copies) > PAGE_SIZE
        return self._show("list.html", account=self.account, messages=messages, wanted=wanted, page=page, has_more=more)

    async def message(self, request: web.Request) -> web.Response:
        copy = self._copy(request)
        return self._show("message.html", copy=copy, letter=copy.letter())

    async def body(self, request: web.Request) -> web.Response:
        copy = self._copy(request)
        text = '<!doctype html><base target="_blank">' + copy.letter().tracked_html(f"{ROOT}/messages/{copy.key}")
        headers = {"Content-Security-Policy": BODY_POLICY, "Referrer-Policy": "no-referrer"}
        return web.Response(text=text, content_type="text/html", headers=headers)

    async def style(self, request: web.Request) -> web.Response:
        return web.Response(text=(PAGES / "style.css").read_text(), content_type="text/css")

    async def list_domains(self, request: web.Request) -> web.Response:
        return self._show("domains.html", domains=list(self.account.domains.all.values()))

    # --- what a recipient does -----------------------------------------------------------------------------------

    async def pixel(self, request: web.Request) -> web.Response:
        """A browser fetches it once, as mailboxes do: looking again is no second open."""
        self._open(self._copy(request), request.headers.get("User-Agent", fates.PERSON))
        headers = {"Cache-Control": "private, max-age=86400"}
        return web.Response(body=PIXEL, content_type="image/gif", headers=headers)

    async def follow(self, request: web.Request) -> web.Response:
        copy = self._copy(request)
        links, number = copy.letter().links, int(request.match_info["number"])
        if number >= len(links):
            raise web.HTTPNotFound(text="There is no such link.")
        self._click(copy, number, links[number], request.headers.get("User-Agent", fates.PERSON))
        return web.Response(status=302, headers={"Location": links[number], "Referrer-Policy": "no-referrer"})

    def _open(self, copy: Copy, agent: str) -> None:
        self.account.tell(copy, "open", {"useragent": agent, "sg_machine_open": False, "sg_content_type": "html"})

    def _click(self, copy: Copy, number: int, url: str, agent: str) -> None:
        offset = {"index": number, "type": "html"}
        self.account.tell(copy, "click", {"url": url, "url_offset": offset, "useragent": agent})

    async def act(self, request: web.Request) -> web.Response:
        copy, action = self._copy(request), request.match_info["action"]
        if action not in ACTIONS:
            raise web.HTTPNotFound
        if action == "open":
            self._open(copy, fates.PERSON)
        elif action == "click":
            if links := copy.letter().links:
                self._click(copy, 0, links[0], fates.PERSON)
        elif action == "bounce":
            self.account.tell(copy, "bounce", fates.BOUNCED)
        elif action == "one-click":
            self.account.one_click(copy)
        else:
            self.account.tell(copy, {"spam": "spamreport"}.get(action, action))
        return self._back(copy)

    async def reply(self, request: web.Request) -> web.Response:
        copy = self._copy(request)
        await reply(self.account, copy, text=str((await request.post()).get("text", "")))
        return self._back(copy)

    async def publish(self, request: web.Request) -> web.Response:
        domain = self.account.domains.all.get(int(request.match_info["id"]))
        if domain is None:
            raise web.HTTPNotFound(text="There is no such domain.")
        valid = str((await request.post()).get("valid", ""))
        first = next(iter(domain.records))
        self.account.domains.publish(domain.domain, [first] if valid == "some" else valid == "all")
        return web.Response(status=303, headers={"Location": f"{ROOT}/domains"})

    @staticmethod
    def _back(copy: Copy) -> web.Response:
        return web.Response(status=303, headers={"Location": f"{ROOT}/messages/{copy.key}"})
