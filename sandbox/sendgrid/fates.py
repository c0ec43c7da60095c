"""What becomes of a message, by the address it goes to. Pure; shown in this order on the outbox page."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

FATES = {
    "bounce": "does not exist: a hard bounce, and dropped from then on",
    "blocked": "refused for now: a bounce of type “blocked”; the next message is tried again",
    "defer": "deferred first, delivered three seconds later",
    "drop": "dropped as invalid, never tried",
    "spam": "delivered, then reported as spam, and dropped from then on",
    "unsubscribe": "delivered, then unsubscribed through the provider, and dropped from then on",
    "oneclick": "delivered, then unsubscribed as a mailbox does it: a POST to the List-Unsubscribe address",
    "open": "delivered and opened",
    "click": "delivered, opened, and the first link clicked",
    "machine": "delivered, and its images fetched by a mailbox's proxy rather than a person",
    "scanner": "delivered, and every link followed in the same second",
    "latebounce": "delivered, then bounced after all, without the message's id",
    "slow": "delivered after twenty seconds",
    "silent": "accepted, and never heard of again",
}
_TAG = re.compile(rf"(?:^|\+)({'|'.join(FATES)})\d*(?=\+|$)")

DROPPED = {
    "bounce": ("Bounced Address", "5.1.1"),
    "spamreport": ("Spam Reporting Address", "5.7.1"),
    "unsubscribe": ("Unsubscribed Address", "5.7.1"),
}
MAILBOX_PROXY = "Mozilla/5.0"
PERSON = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@dataclass(frozen=True, slots=True)
class Step:
    """One event `after_s` seconds from acceptance. `links`: how many links it is repeated for (clicks); -1: all."""

    after_s: float
    event: str
    extra: dict[str, Any] = field(default_factory=dict)
    links: int = 0
    has_id: bool = True


_PROCESSED = Step(0.05, "processed")
_DELIVERED = Step(0.2, "delivered", {"response": "250 2.0.0 OK", "tls": 1})
_OPENED = Step(1.0, "open", {"useragent": PERSON, "sg_machine_open": False, "sg_content_type": "html"})
BOUNCED = {
    "type": "bounce",
    "status": "5.1.1",
    "reason": "550 5.1.1 The email account that you tried to reach does not exist.",
    "bounce_classification": "Invalid Address",
    "tls": 1,
}
_BLOCKED = {
    "type": "blocked",
    "status": "4.7.1",
    "reason": "421 4.7.1 Message temporarily refused because of its reputation.",
    "bounce_classification": "Reputation",
    "tls": 1,
}
_AFTER_DELIVERY = {
    "spam": [Step(2.0, "spamreport")],
    "unsubscribe": [Step(2.0, "unsubscribe")],
    "oneclick": [Step(2.0, "one-click")],
    "open": [_OPENED],
    "click": [_OPENED, Step(1.5, "click", {"useragent": PERSON}, links=1)],
    "machine": [Step(0.3, "open", {**_OPENED.extra, "useragent": MAILBOX_PROXY, "sg_machine_open": True})],
    "scanner": [Step(0.25, "click", {"useragent": "Mozilla/5.0 (compatible; LinkScanner/1.0)"}, links=-1)],
    "latebounce": [Step(3.0, "bounce", BOUNCED, has_id=False)],
}


def tags_of(address: str) -> list[str]:
    """Return the fates named in an address: "ann+open+click@x.com" → ["open", "click"], "bounce7@x.com" → ["bounce"]."""
    return _TAG.findall(address.rpartition("@")[0].lower())


def plan(address: str, *, suppressed: str = "") -> list[Step]:
    """Return what will happen, in order. `suppressed`: the event that put the address on the account's list, if any."""
    if suppressed:
        reason, status = DROPPED[suppressed]
        return [Step(0.05, "dropped", {"reason": reason, "status": status})]
    tags = tags_of(address)
    if "silent" in tags:
        return []
    if "drop" in tags:
        return [Step(0.05, "dropped", {"reason": "Invalid", "status": "5.0.0"})]
    if "bounce" in tags:
        return [_PROCESSED, Step(0.2, "bounce", BOUNCED)]
    if "blocked" in tags:
        return [_PROCESSED, Step(0.2, "bounce", _BLOCKED)]
    steps = [_PROCESSED, *_way_there(tags)]
    arrived_s = steps[-1].after_s - _DELIVERED.after_s
    later = [step for tag in tags for step in _AFTER_DELIVERY.get(tag, ())]
    return steps + [
        Step(step.after_s + arrived_s, step.event, step.extra, step.links, step.has_id)
        for step in sorted(later, key=lambda step: step.after_s)
    ]


def _way_there(tags: list[str]) -> list[Step]:
    if "defer" in tags:
        late = {"response": "451 4.7.1 Try again later", "attempt": "1", "tls": 1}
        return [Step(0.2, "deferred", late), Step(3.0, "delivered", _DELIVERED.extra)]
    return [Step(20.0, "delivered", _DELIVERED.extra)] if "slow" in tags else [_DELIVERED]
