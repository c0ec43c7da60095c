"""The account at the provider: what it accepted, what becomes of it, and whom it writes to no more."""

from __future__ import annotations

import asyncio
import base64
import heapq
import itertools
import logging
import secrets
import time
from collections import Counter, deque
from collections.abc import Iterator
from typing import Any

import aiohttp

from sandbox.sendgrid import fates, letters
from sandbox.sendgrid.domains import Domains
from sandbox.sendgrid.fates import Step
from sandbox.sendgrid.faults import Faults
from sandbox.sendgrid.letters import Copy, Posting
from sandbox.sendgrid.webhook import EventWebhook, Post, load_key, new_key, public_key_of

logger = logging.getLogger("sandbox.sendgrid")

KEPT_RECIPIENTS = 200_000
KEPT_BYTES = 256 << 20
EVENTS_PATH = "/api/webhooks/sendgrid"
SUPPRESSING = ("bounce", "spamreport", "unsubscribe")
LISTS = {"bounces": "bounce", "invalid_emails": "invalid", "spam_reports": "spamreport", "unsubscribes": "unsubscribe"}


def _passed_over(settings: dict[str, Any]) -> frozenset[str]:
    """Return the events whose lists a request passes over."""
    lists = {
        "bypass_list_management": set(fates.DROPPED),
        "bypass_bounce_management": {"bounce"},
        "bypass_spam_management": {"spamreport"},
        "bypass_unsubscribe_management": {"unsubscribe"},
    }
    asked = [events for name, events in lists.items() if (settings.get(name) or {}).get("enable")]
    return frozenset().union(*asked)


class MailAccount:
    """Use it on one event loop. `accepted` counts requests and `recipients` people, also those no longer kept."""

    def __init__(
        self, api_key: str, *, public_base_url: str = "", signing_key: str = "", senders: frozenset[str] = frozenset()
    ) -> None:
        key = load_key(signing_key) if signing_key else new_key()
        self.api_key = api_key
        self.public_base_url = public_base_url.rstrip("/")
        self.inbound_url = ""  # where answers are posted
        self.senders = set(senders)  # single addresses that may be written from, besides authenticated domains
        self.any_sender = False
        self.faults = Faults()
        self.domains = Domains()
        self.webhook = EventWebhook(key, self.public_base_url and self.public_base_url + EVENTS_PATH)
        self.public_key = public_key_of(key)
        self.postings: deque[Posting] = deque()
        self.suppressed: dict[str, str] = {}  # address → the event that put it there
        self.batch_ids: set[str] = set()
        self.answers: Counter[int] = Counter()  # statuses of mail/send, those of faults included
        self.accepted = self.recipients = 0
        self.closing = asyncio.Event()
        self._kept = self._kept_bytes = 0
        self._index: dict[str, Posting] = {}
        self._due: list[tuple[float, int, Copy, Step]] = []
        self._order = itertools.count()
        self._wake = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None
        self._visits: set[asyncio.Task[None]] = set()

    # --- accepting -----------------------------------------------------------------------------------------------

    def accept(self, body: dict[str, Any], raw: bytes) -> Posting:
        """Take a request that has been found in order, and let its fate begin."""
        now = time.time()
        posting = letters.posting_of(body, raw=raw, id=secrets.token_urlsafe(16), at=now)
        self.postings.append(posting)
        self._index[posting.id] = posting
        self.accepted += 1
        self.recipients += len(posting.copies)
        self._kept += len(posting.copies)
        self._kept_bytes += len(posting.packed)
        while len(self.postings) > 1 and (self._kept > KEPT_RECIPIENTS or self._kept_bytes > KEPT_BYTES):
            self._forget_oldest()
        passed_over = _passed_over(body.get("mail_settings") or {})
        for copy in posting.copies:
            one = body["personalizations"][copy.personalization]
            begin = max(now, one.get("send_at", body.get("send_at", 0)))
            suppressed = self.suppressed.get(copy.address, "")
            suppressed = "" if suppressed in passed_over else suppressed
            for step in fates.plan(copy.address, suppressed=suppressed):
                heapq.heappush(self._due, (begin + step.after_s, next(self._order), copy, step))
        self._start()
        return posting

    def restore(self, posting: Posting) -> None:
        """Bring back a message of an earlier start; nothing more happens to it by itself."""
        self.postings.append(posting)
        self._index[posting.id] = posting
        self._kept += len(posting.copies)
        self._kept_bytes += len(posting.packed)

    def _forget_oldest(self) -> None:
        oldest = self.postings.popleft()
        del self._index[oldest.id]
        self._kept -= len(oldest.copies)
        self._kept_bytes -= len(oldest.packed)

    def may_send_from(self, address: str) -> bool:
        known = address.lower() in {sender.lower() for sender in self.senders}
        return self.any_sender or known or self.domains.is_authenticated(address.rpartition("@")[2])

    # --- what happens then ---------------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())
        self._wake.set()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            self.advance(time.time())
            wait_s = max(self._due[0][0] - time.time(), 0.02) if self._due else None
            try:
                await asyncio.wait_for(self._wake.wait(), wait_s)
            except TimeoutError:
                continue

    def advance(self, now: float) -> None:
        """Let everything happen that is due."""
        while self._due and self._due[0][0] <= now:
            at, _, copy, step = heapq.heappop(self._due)
            try:
                self._happen(copy, step, at)
            except Exception:
                logger.exception("A message's fate failed.")

    def _happen(self, copy: Copy, step: Step, at: float) -> None:
        if step.event == "one-click":
            self.one_click(copy)
        elif step.links:
            links = [(index, link) for index, link in self._followable(copy)]
            for index, link in links if step.links < 0 else links[: step.links]:
                self.tell(copy, step.event, {**step.extra, **_offset(index, link)}, at=at)
        else:
            self.tell(copy, step.event, step.extra, at=at, has_id=step.has_id)

    def _followable(self, copy: Copy) -> Iterator[tuple[int, str]]:
        letter = copy.letter()
        if letter.notices_clicks:
            yield from ((index, link) for index, link in enumerate(letter.links) if link != letter.unsubscribe_url)

    def tell(
        self, copy: Copy, event: str, extra: dict[str, Any] | None = None, *, at: float | None = None, has_id: bool = True
    ) -> None:
        """Let something happen to a message now, and tell the product of it as the vendor would."""
        letter_wants = {"open": "notices_opens", "click": "notices_clicks"}.get(event)
        if letter_wants and not getattr(copy.letter(), letter_wants):
            return
        at = time.time() if at is None else at
        extra = extra or {}
        copy.events.append((event, at, str(extra.get("url") or extra.get("reason") or extra.get("response") or "")))
        if event in SUPPRESSING and extra.get("type") != "blocked":
            self.suppressed[copy.address] = event
        self.webhook.add(self._event(copy, event, extra, at, has_id))

    def _event(self, copy: Copy, event: str, extra: dict[str, Any], at: float, has_id: bool) -> dict[str, Any]:
        body = copy.posting.body()
        told: dict[str, Any] = {"email": copy.address, "timestamp": int(at), "event": event}
        told["sg_event_id"] = base64.urlsafe_b64encode(secrets.token_bytes(18)).decode()
        if has_id:
            told["sg_message_id"] = copy.provider_id
            told["smtp-id"] = f"<{copy.posting.id}@ismtpd-sandbox>"
        if categories := body.get("categories"):
            told["category"] = categories
        if event in ("delivered", "open", "click", "bounce"):
            told["ip"] = "192.0.2.25"
        return {**letters.arguments_of(copy), **told, **extra}

    def one_click(self, copy: Copy) -> None:
        """Unsubscribe as a mailbox's button does it (RFC 8058)."""
        letter = copy.letter()
        if not letter.takes_one_click:
            copy.events.append(("one-click", time.time(), "the message offers none"))
            return
        task = asyncio.create_task(self._post_one_click(copy, letter.unsubscribe_url))
        self._visits.add(task)
        task.add_done_callback(self._visits.discard)

    async def _post_one_click(self, copy: Copy, url: str) -> None:
        form = {"List-Unsubscribe": "One-Click"}
        try:
            async with self.webhook.session().post(url, data=form, allow_redirects=False) as answer:
                outcome = f"{url} answered {answer.status}"
        except (aiohttp.ClientError, TimeoutError) as error:
            outcome = f"{url} did not answer ({type(error).__name__})"
        copy.events.append(("one-click", time.time(), outcome))

    # --- looking -------------------------------------------------------------------------------------------------

    @property
    def copies(self) -> list[Copy]:
        """Every message that is kept, oldest first."""
        return [copy for posting in self.postings for copy in posting.copies]

    @property
    def sends_per_address(self) -> Counter[str]:
        return Counter(copy.address for copy in self.copies)

    def sends_per_argument(self, name: str) -> Counter[str]:
        """How often each value of a custom argument was accepted: {"<uuid>": 1, …}. For tests of exactly once."""
        return Counter(value for copy in self.copies if (value := letters.arguments_of(copy).get(name)) is not None)

    def find(self, key: str) -> Copy | None:
        """Return a message by "<X-Message-Id>.<number>"."""
        id, _, number = key.rpartition(".")
        posting = self._index.get(id)
        if posting is None or not number.isdecimal() or int(number) >= len(posting.copies):
            return None
        return posting.copies[int(number)]

    def to(self, address: str) -> Copy:
        """Return the newest message to an address. Raises LookupError."""
        for posting in reversed(self.postings):
            for copy in reversed(posting.copies):
                if copy.address == address.lower():
                    return copy
        raise LookupError(address)

    async def settle(self) -> list[Post]:
        """Let everything happen that is going to, without waiting for its time; return the posts nobody was given."""
        self.advance(float("inf"))
        if self._visits:
            await asyncio.gather(*self._visits)
        await self.webhook.settled()
        posts = list(self.webhook.posts)
        self.webhook.posts.clear()
        return posts

    def clear(self) -> None:
        """Forget messages, suppressions, orders and counts; domains and senders stay."""
        for keep in (self.postings, self.suppressed, self.answers, self._index, self._due, self.webhook.posts):
            keep.clear()
        self.faults.clear()
        self.accepted = self.recipients = self._kept = self._kept_bytes = 0

    async def close(self) -> None:
        self.closing.set()
        running = [*self._visits, *([self._runner] if self._runner else [])]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self.webhook.close()


def _offset(index: int, link: str) -> dict[str, Any]:
    return {"url": link, "url_offset": {"index": index, "type": "html"}}
