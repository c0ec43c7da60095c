"""News of messages, posted to the product in signed batches, again and again until it takes them."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

logger = logging.getLogger("sandbox.sendgrid")

BATCH = 500
GATHER_S = 0.3
AT_ONCE = 4
ATTEMPTS = 12
SIGNATURE = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP = "X-Twilio-Email-Event-Webhook-Timestamp"
KEPT_POSTS = 10_000


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def public_key_of(key: ec.EllipticCurvePrivateKey) -> str:
    """Return the public half as the vendor's page shows it: base64 of its DER form."""
    shape = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(key.public_key().public_bytes(*shape)).decode()


def private_key_of(key: ec.EllipticCurvePrivateKey) -> str:
    """Return the whole key in base64, to hand to another process."""
    shape = (serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return base64.b64encode(key.private_bytes(*shape)).decode()


def load_key(text: str) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_der_private_key(base64.b64decode(text), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


@dataclass(frozen=True, slots=True)
class Post:
    """One POST to the product, as it would be on the wire."""

    body: bytes
    headers: dict[str, str]

    def events(self) -> list[dict[str, Any]]:
        return json.loads(self.body)  # type: ignore[no-any-return]


def signed(events: list[dict[str, Any]], key: ec.EllipticCurvePrivateKey, *, at: float | None = None) -> Post:
    """Return events as the vendor posts them: a JSON array that ends with CRLF, and a signature over time and body."""
    body = json.dumps(events, separators=(",", ":")).encode() + b"\r\n"
    return sign(body, key, at=at)


def sign(body: bytes, key: ec.EllipticCurvePrivateKey, *, at: float | None = None) -> Post:
    stamp = str(int(time.time() if at is None else at))
    signature = base64.b64encode(key.sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))).decode()
    return Post(body, {"Content-Type": "application/json", SIGNATURE: signature, TIMESTAMP: stamp})


@dataclass(slots=True)
class Trouble:
    """What happens to news on the way. All of it is normal at the vendor, apart from `lose`."""

    shuffle: bool = False
    duplicate: bool = False  # every batch is posted twice
    hold: bool = False  # nothing is posted until this is switched off
    lose: int = 0  # so many of the next events never arrive
    lose_events: list[str] = field(default_factory=list)  # events of these kinds never arrive


class EventWebhook:
    """Gathers events for a moment and posts them. Without a `url` the posts are kept in `posts`, for tests to hand on."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, url: str = "") -> None:
        self.key = key
        self.url = url
        self.trouble = Trouble()
        self.posts: deque[Post] = deque(maxlen=KEPT_POSTS)
        self.retry_s = 0.5
        self.posted = self.refused = self.given_up = 0  # posts
        self._waiting: list[dict[str, Any]] = []
        self._wake = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None
        self._sending: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._session: aiohttp.ClientSession | None = None
        self._random = random.Random(1)  # the same disorder at every run

    def add(self, event: dict[str, Any]) -> None:
        if self.trouble.lose > 0:
            self.trouble.lose -= 1
            return
        if event["event"] in self.trouble.lose_events:
            return
        self._waiting.append(event)
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())
        self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await asyncio.sleep(GATHER_S)
            self.flush()

    def flush(self) -> None:
        """Post what is waiting, in batches, without waiting for the answers."""
        if self.trouble.hold:
            return
        waiting, self._waiting = self._waiting, []
        if self.trouble.shuffle:
            self._random.shuffle(waiting)
        for start in range(0, len(waiting), BATCH):
            batch = waiting[start : start + BATCH]
            for _ in range(2 if self.trouble.duplicate else 1):
                self._post(batch)

    def release(self) -> None:
        """Let go of what was held back."""
        self.trouble.hold = False
        self.flush()

    def _post(self, batch: list[dict[str, Any]]) -> None:
        post = signed(batch, self.key)
        if not self.url:
            self.posts.append(post)
            self.posted += 1
            return
        task = asyncio.create_task(self._deliver(post))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _deliver(self, post: Post) -> None:
        for attempt in range(ATTEMPTS):
            async with self._slots:
                if await self._took(sign(post.body, self.key)):
                    self.posted += 1
                    return
            self.refused += 1
            await asyncio.sleep(min(self.retry_s * 2**attempt, 60))
        self.given_up += 1
        logger.warning("Events were lost: nobody takes them.")

    async def _took(self, post: Post) -> bool:
        try:
            async with self.session().post(self.url, data=post.body, headers=post.headers) as answer:
                return 200 <= answer.status < 300
        except (aiohttp.ClientError, TimeoutError):
            return False

    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15))
        return self._session

    async def settled(self) -> None:
        """Wait until everything that was on its way has been taken or given up."""
        self.flush()
        while self._sending:
            await asyncio.gather(*self._sending)

    def take(self, filter: Callable[[dict[str, Any]], bool] | None = None) -> list[dict[str, Any]]:
        """Return the events of the posts kept so far, and forget them. For tests that look at events only."""
        found = [event for post in self.posts for event in post.events() if filter is None or filter(event)]
        self.posts.clear()
        return found

    async def close(self) -> None:
        running = [*self._sending, *([self._runner] if self._runner else [])]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
