"""What was accepted, kept small, and each message of it as its recipient gets it.

A request is kept as it came, compressed; of a recipient only the address and what happened. A letter is put together
when somebody looks at it.
"""

from __future__ import annotations

import html
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sandbox.sendgrid import rules

_LINK = re.compile(r"""(<a\b[^>]*?\bhref\s*=\s*)(["'])(https?:[^"']*)\2([^>]*)""", re.I)
_NOT_TRACKED = re.compile(r"""\bclicktracking\s*=\s*["']?off""", re.I)
_ONE_CLICK = "List-Unsubscribe=One-Click"


@dataclass(slots=True)
class Posting:
    """One accepted request. `id` is its X-Message-Id."""

    id: str
    at: float  # unix seconds
    packed: bytes
    copies: list[Copy] = field(default_factory=list)

    def body(self) -> dict[str, Any]:
        return _unpacked(self.packed)


@dataclass(slots=True)
class Copy:
    """One message to one address. `number` counts within its request; `events` are (event, unix seconds, detail)."""

    posting: Posting
    number: int
    address: str
    personalization: int
    events: list[tuple[str, float, str]] = field(default_factory=list)

    @property
    def key(self) -> str:
        return f"{self.posting.id}.{self.number}"

    @property
    def provider_id(self) -> str:
        """The message's id in events: the request's, and where it was routed."""
        return f"{self.posting.id}.recvd-5f7c-1-{self.number}.0"

    def letter(self) -> Letter:
        return _letter(self)


@dataclass(frozen=True, slots=True)
class Letter:
    sender: str
    sender_name: str
    to: str
    to_name: str
    cc: tuple[str, ...]
    reply_to: str
    subject: str
    html: str
    text: str
    headers: dict[str, str]
    custom_args: dict[str, str]
    categories: list[str]
    attachments: tuple[str, ...]
    notices_opens: bool
    notices_clicks: bool

    @property
    def links(self) -> list[str]:
        """The addresses of the links that are followed through the provider, as they stand in the HTML."""
        return [html.unescape(found[3]) for found in _LINK.finditer(self.html) if not _NOT_TRACKED.search(found[0])]

    @property
    def unsubscribe_url(self) -> str:
        """The address of List-Unsubscribe, or ""."""
        found = re.search(r"<(https?://[^>]+)>", self.header("List-Unsubscribe"))
        return found[1] if found else ""

    @property
    def takes_one_click(self) -> bool:
        return self.header("List-Unsubscribe-Post").replace(" ", "") == _ONE_CLICK and bool(self.unsubscribe_url)

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), "")

    def tracked_html(self, base: str) -> str:
        """The HTML with links and a pixel that lead through `base`, as far as the sender wants to notice."""
        numbers = iter(range(len(self.links)))

        def through(found: re.Match[str]) -> str:
            if _NOT_TRACKED.search(found[0]):
                return found[0]
            return f"{found[1]}{found[2]}{base}/click/{next(numbers)}{found[2]}{found[4]}"

        marked = _LINK.sub(through, self.html) if self.notices_clicks else self.html
        pixel = f'<img src="{base}/open.gif" width="1" height="1" alt="">'
        return marked + pixel if self.notices_opens else marked


def pack(raw: bytes) -> bytes:
    return zlib.compress(raw, 1)


@lru_cache(maxsize=8)
def _unpacked(packed: bytes) -> dict[str, Any]:
    return json.loads(zlib.decompress(packed))  # type: ignore[no-any-return]


def posting_of(body: Mapping[str, Any], *, raw: bytes, id: str, at: float) -> Posting:
    """Return an accepted request with a copy for everybody in to, cc and bcc."""
    posting = Posting(id, at, pack(raw))
    for index, one in enumerate(body["personalizations"]):
        for _, _, person in rules.recipients(one):
            posting.copies.append(Copy(posting, len(posting.copies), person["email"].lower(), index))
    return posting


def substitute(text: str, substitutions: Mapping[str, str]) -> str:
    """Replace each tag, one after the other: a value that contains a later tag is replaced again. So take care."""
    for tag, value in substitutions.items():
        text = text.replace(tag, value)
    return text


def arguments_of(copy: Copy) -> dict[str, str]:
    body = copy.posting.body()
    own = body["personalizations"][copy.personalization].get("custom_args", {})
    return {**body.get("custom_args", {}), **own}


def _letter(copy: Copy) -> Letter:
    body = copy.posting.body()
    one = body["personalizations"][copy.personalization]
    values = one.get("substitutions", {})
    parts = {part["type"]: substitute(part["value"], values) for part in body.get("content", ())}
    sender = one.get("from") or body["from"]
    person = next(person for _, _, person in rules.recipients(one) if person["email"].lower() == copy.address)
    replies = [body["reply_to"]] if "reply_to" in body else body.get("reply_to_list", [])
    tracking = body.get("tracking_settings", {})
    return Letter(
        sender=sender["email"],
        sender_name=sender.get("name", ""),
        to=copy.address,
        to_name=person.get("name", ""),
        cc=tuple(person["email"] for person in one.get("cc", ())),
        reply_to=", ".join(substitute(person["email"], values) for person in replies),
        subject=substitute(one.get("subject") or body.get("subject", ""), values),
        html=parts.get("text/html", ""),
        text=parts.get("text/plain", ""),
        headers={**body.get("headers", {}), **one.get("headers", {})},
        custom_args=arguments_of(copy),
        categories=list(body.get("categories", [])),
        attachments=tuple(str(part.get("filename", "")) for part in body.get("attachments", ())),
        notices_opens=_is_on(tracking, "open_tracking"),
        notices_clicks=_is_on(tracking, "click_tracking"),
    )


def _is_on(tracking: Mapping[str, Any], name: str) -> bool:
    """Unsaid, the account's own setting counts, which is on."""
    return bool((tracking.get(name) or {}).get("enable", True))
