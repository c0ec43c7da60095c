"""What became of a message, from all that was heard of it. No I/O, no clock, no Django models.

    sent ─▶ deferred ─▶ dropped ─▶ delivered ─▶ blocked ─▶ bounced        a state never goes back along this line

News comes late, twice and in any order, so nothing here depends on when it came: the state is the furthest of all
that was told, each time is the earliest of its kind, and each piece of news counts once, by the provider's id.
Hence `fold` of the same set is the same whatever the order, and folding again what is folded already changes nothing.

Why this line: a delivery can still be refused afterwards by the receiving server, for good (bounced) or for now
(blocked), but what bounced is not delivered later. "Dropped" comes before "delivered" for the message that was handed
over a second time, after no answer to the first: one copy reached the recipient. Complaints and unsubscribing are facts
beside the state; whoever opened, clicked or complained has received it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

from crm.email.enums import EventKind, MessageState, SuppressionReason

# Programs that follow every link of a message do so around its delivery, people a little later.
SCANNED_WITHIN = timedelta(seconds=10)

_LINE = (
    MessageState.SENT,
    MessageState.DEFERRED,
    MessageState.DROPPED,
    MessageState.DELIVERED,
    MessageState.BLOCKED,
    MessageState.BOUNCED,
)
_RANK: dict[str, int] = {state: rank for rank, state in enumerate(_LINE, start=1)}  # what is before it: 0
_SHOWS: dict[str, str] = {
    EventKind.PROCESSED: MessageState.SENT,
    EventKind.DEFERRED: MessageState.DEFERRED,
    EventKind.DROPPED: MessageState.DROPPED,
    EventKind.DELIVERED: MessageState.DELIVERED,
    EventKind.OPENED: MessageState.DELIVERED,
    EventKind.CLICKED: MessageState.DELIVERED,
    EventKind.SPAM: MessageState.DELIVERED,
    EventKind.UNSUBSCRIBED: MessageState.DELIVERED,
    EventKind.BLOCKED: MessageState.BLOCKED,
    EventKind.BOUNCED: MessageState.BOUNCED,
}
# States whose reason is worth keeping, and the news that has it.
TELLING: dict[str, str] = {
    MessageState.DEFERRED: EventKind.DEFERRED,
    MessageState.DROPPED: EventKind.DROPPED,
    MessageState.BLOCKED: EventKind.BLOCKED,
    MessageState.BOUNCED: EventKind.BOUNCED,
}
_TIMES: dict[str, str] = {
    EventKind.DELIVERED: "delivered_at",
    EventKind.OPENED: "opened_at",
    EventKind.CLICKED: "clicked_at",
    EventKind.BOUNCED: "bounced_at",
    EventKind.SPAM: "spam_at",
    EventKind.UNSUBSCRIBED: "unsubscribed_at",
}

_MACHINES = re.compile(
    r"barracuda|mimecast|proofpoint|symantec|messagelabs|fireeye|trellix|trend ?micro|sophos|forcepoint|ironport"
    r"|safelinks|zscaler|urldefense|bot\b|crawl|spider|scanner|preview|headless|phantomjs"
    r"|python-|aiohttp|httpx|curl/|wget/|go-http-client|java/|okhttp|libwww|apache-httpclient|node-fetch",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class News:
    id: int | str  # of the stored event: the same one counts once
    kind: str  # EventKind
    at: datetime
    is_machine: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one message; the names are its columns."""

    state: str
    sent_at: datetime | None = None
    delivered_at: datetime | None = None
    opened_at: datetime | None = None
    clicked_at: datetime | None = None
    bounced_at: datetime | None = None
    spam_at: datetime | None = None
    unsubscribed_at: datetime | None = None
    open_count: int = 0
    click_count: int = 0


COLUMNS = tuple(field.name for field in fields(Facts))


def fold(known: Facts, news: Iterable[News]) -> Facts:
    """Return the facts with everything that was ever heard of the message, `news`, taken into account.

    `news` is all there is, not what is new: whether a click was a person's depends on the delivery, which may be heard
    of later. What others write down as well stays: when it was handed over, and that the recipient unsubscribed.
    """
    heard = {one.id: one for one in news}.values()
    if not heard:
        return known
    scanned = scanned_clicks(heard)
    times: dict[str, datetime] = {}
    counts = {EventKind.OPENED: 0, EventKind.CLICKED: 0}
    state, rank = known.state, _RANK.get(known.state, 0)
    for one in heard:
        shown = _SHOWS[one.kind]
        if _RANK[shown] > rank:
            state, rank = shown, _RANK[shown]
        if one.kind in counts:
            if one.is_machine or one.id in scanned:
                continue
            counts[EventKind(one.kind)] += 1
        name = _TIMES.get(one.kind)
        if name is not None and (name not in times or one.at < times[name]):
            times[name] = one.at
    return replace(
        known,
        state=state,
        sent_at=_earliest(known.sent_at, min(one.at for one in heard)),
        unsubscribed_at=_earliest(known.unsubscribed_at, times.pop("unsubscribed_at", None)),
        **{name: times.get(name) for name in _TIMES.values() if name != "unsubscribed_at"},
        open_count=counts[EventKind.OPENED],
        click_count=counts[EventKind.CLICKED],
    )


def _earliest(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((at for at in (one, other) if at is not None), default=None)


def scanned_clicks(news: Iterable[News]) -> set[int | str]:
    """Return the clicks that are around a delivery. One more delivery can only add to them."""
    heard = list(news)
    deliveries = [one.at for one in heard if one.kind == EventKind.DELIVERED]
    if not deliveries:
        return set()
    clicks = (one for one in heard if one.kind == EventKind.CLICKED)
    return {one.id for one in clicks if any(abs(one.at - at) <= SCANNED_WITHIN for at in deliveries)}


# --- what single pieces of news mean -----------------------------------------------------------------------------------


def kind_of(event: str, type_: str) -> EventKind | None:
    """Return our word for the provider's event; None for one that says nothing of a message."""
    if event == "bounce":
        return EventKind.BLOCKED if type_ == "blocked" else EventKind.BOUNCED
    if event == "group_unsubscribe":
        return EventKind.UNSUBSCRIBED
    return EventKind(event) if event in EventKind.values and event != EventKind.BLOCKED else None


def is_by_machine(*, kind: str, says_so: bool, agent: str) -> bool:
    """Tell whether an open or a click was certainly not a person's: the provider says so, or the program itself does."""
    return kind in (EventKind.OPENED, EventKind.CLICKED) and (says_so or bool(_MACHINES.search(agent)))


_PASSING = frozenset({"technical", "content", "reputation", "frequency/volume", "frequency or volume too high"})
_CODE = re.compile(r"(?<![\d.])[245]\.\d{1,3}\.\d{1,3}(?![\d.])")
# Enhanced status codes (RFC 3463, RFC 7505) that say that nobody has the address: no such mailbox, no such system, an
# address that is written wrong, one that moved away, a domain that takes no mail; and a mailbox that is disabled. 5.1.7 and
# 5.1.8 speak of the sender. A plain 550 or 5.0.0 says nothing: servers send it for policy, size and reputation too.
_GONE = frozenset({"5.1.0", "5.1.1", "5.1.2", "5.1.3", "5.1.4", "5.1.6", "5.1.10", "5.2.1"})
# Facts about an address hold for everybody. That it is on the account's list of wishes ("unsubscribed address", "spam
# reporting address") does not say towards whom: the account is all organisations'.
_DROPPED = (("bounced address", SuppressionReason.BOUNCED), ("invalid address", SuppressionReason.INVALID))


def suppression_of(kind: str, detail: Mapping[str, Any]) -> SuppressionReason | None:
    """Return why nobody should write to the address again; None when the news is no reason for that."""
    if kind == EventKind.SPAM:
        return SuppressionReason.SPAM
    if kind == EventKind.UNSUBSCRIBED:
        return SuppressionReason.UNSUBSCRIBED
    if kind == EventKind.DROPPED:
        reason = str(detail.get("reason", "")).strip().casefold()
        if reason == "invalid":
            return SuppressionReason.INVALID
        return next((found for begins, found in _DROPPED if reason.startswith(begins)), None)
    if kind == EventKind.BOUNCED and is_permanent(detail):
        return SuppressionReason.BOUNCED
    return None


def is_permanent(detail: Mapping[str, Any]) -> bool:
    """Tell whether a bounce says that the address does not exist, rather than that something was wrong this time."""
    classification = str(detail.get("classification", "")).strip().casefold()
    if classification == "invalid address":
        return True
    if classification in _PASSING:
        return False
    codes = set(_CODE.findall(f"{detail.get('status', '')} {detail.get('reason', '')}")) - {"5.0.0"}
    return bool(codes) and codes <= _GONE
