"""Events posted to the product: signed, and late, twice, out of order or lost when that is ordered."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import random
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

import aiohttp

logger = logging.getLogger("sandbox.stripe")

ATTEMPTS = 8
RETRY_S = 0.5


@dataclass(frozen=True, slots=True)
class Post:
    """One POST to the product, as it would be on the wire."""

    body: bytes
    headers: dict[str, str]


def sign(body: bytes, secret: str, *, at: float | None = None) -> Post:
    stamp = int(time.time() if at is None else at)
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "Stripe-Signature": f"t={stamp},v1={digest}"}
    return Post(body, headers)


@dataclass(slots=True)
class Trouble:
    """What happens to events on the way. All but `lose` is normal at the vendor."""

    duplicate: bool = False
    shuffle: bool = False
    late_s: float = 0.0
    lose: int = 0


class Hooks:
    """Posts events one by one. Without a `url` they are kept in `posts`, for tests to hand on."""

    def __init__(self, secret: str, url: str = "") -> None:
        self.secret = secret
        self.url = url
        self.trouble = Trouble()
        self.posts: deque[dict[str, Any]] = deque(maxlen=50_000)
        self._waiting: list[dict[str, Any]] = []
        self._runner: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._random = random.Random(7)  # the same disorder at every run

    def add(self, event: dict[str, Any]) -> None:
        if self.trouble.lose > 0:
            self.trouble.lose -= 1
            return
        copies = 2 if self.trouble.duplicate else 1
        if not self.url:
            self.posts.extend([event] * copies)
            return
        self._waiting += [event] * copies
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())
        self._wake.set()

    def take(self) -> list[Post]:
        """Return everything that waits, signed now, in the order of the trouble that was ordered."""
        events = list(self.posts)
        self.posts.clear()
        if self.trouble.shuffle:
            self._random.shuffle(events)
        return [sign(json.dumps(event).encode(), self.secret) for event in events]

    async def _run(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15)) as session:
            while True:
                await self._wake.wait()
                self._wake.clear()
                await asyncio.sleep(0.1 + self.trouble.late_s)
                waiting, self._waiting = self._waiting, []
                if self.trouble.shuffle:
                    self._random.shuffle(waiting)
                for event in waiting:
                    await self._post(session, event)

    async def _post(self, session: aiohttp.ClientSession, event: dict[str, Any]) -> None:
        for attempt in range(ATTEMPTS):
            post = sign(json.dumps(event).encode(), self.secret)
            try:
                async with session.post(self.url, data=post.body, headers=post.headers) as answer:
                    if answer.status < 300:
                        return
            except (aiohttp.ClientError, TimeoutError):
                pass  # tried again below
            await asyncio.sleep(RETRY_S * 2**attempt)
        logger.warning("An event was given up.", extra={"type": event["type"]})

    async def close(self) -> None:
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
