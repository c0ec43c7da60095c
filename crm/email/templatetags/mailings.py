"""How mailings, messages and their figures look."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from crm.email.enums import MailingState, MessageState
from crm.email.selectors.reports import Figures, Hour
from crm.selectors.dashboard import Bar
from thanos.templatetags.ui import UNKNOWN, icon

register = template.Library()

_MAILINGS = {
    MailingState.DRAFT: ("", "note"),
    MailingState.SCHEDULED: ("", "clock"),
    MailingState.PREPARING: ("live", "dot"),
    MailingState.SENDING: ("live", "dot"),
    MailingState.PAUSED: ("warn", "pause"),
    MailingState.DONE: ("good", "check"),
    MailingState.CANCELED: ("", "hangup"),
    MailingState.FAILED: ("bad", "cross"),
}
_MESSAGES = {
    MessageState.QUEUED: ("", "clock"),
    MessageState.CLAIMED: ("live", "dot"),
    MessageState.SENT: ("live", "mail"),
    MessageState.UNKNOWN: ("warn", "clock"),
    MessageState.DEFERRED: ("warn", "clock"),
    MessageState.DELIVERED: ("good", "check"),
    MessageState.BOUNCED: ("bad", "cross"),
    MessageState.BLOCKED: ("bad", "cross"),
    MessageState.DROPPED: ("bad", "cross"),
    MessageState.FAILED: ("bad", "cross"),
    MessageState.SKIPPED: ("", "moon"),
    MessageState.CANCELED: ("", "hangup"),
}


def _badge(tone: str, shape: str, word: str) -> SafeString:
    tone = f" badge--{tone}" if tone else ""
    return format_html('<span class="badge{}">{}{}</span>', tone, icon(shape), word)


@register.simple_tag
def mailing_badge(state: str) -> SafeString:
    """A mailing's state as colour, shape and word."""
    known = MailingState(state)
    return _badge(*_MAILINGS[known], known.label)


@register.simple_tag
def message_badge(state: str) -> SafeString:
    """A message's state as colour, shape and word."""
    known = MessageState(state)
    return _badge(*_MESSAGES[known], known.label)


@register.simple_tag(takes_context=True)
def exactly(context: dict[str, Any], at: datetime | None) -> SafeString:
    """A moment to come, in the tenant's zone: `moment` is for what has been."""
    if at is None:
        return format_html('<span class="unknown">{}</span>', UNKNOWN)
    zone = ZoneInfo(getattr(context.get("tenant"), "time_zone", None) or "UTC")
    local, now = at.astimezone(zone), timezone.now().astimezone(zone)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        at.isoformat(),
        local.strftime("%A %d %B %Y, %H:%M %Z"),
        f"{_day(local.date(), now.date())}, {local:%H:%M}",
    )


def _day(day: date, today: date) -> str:
    near = {-1: "yesterday", 0: "today", 1: "tomorrow"}
    year = f" {day.year}" if day.year != today.year else ""
    return near.get((day - today).days) or f"{day:%a} {day.day} {day:%b}{year}"


@register.inclusion_tag("crm/email/_small_bar.html")
def small_bar(share: float | None, count: int | None, label: str) -> dict[str, Any]:
    """A share as a small bar with its percentage; unknown stays unknown."""
    width = None if share is None else round(100 * min(share, 1), 1)
    return {"share": share, "count": count, "label": label, "width": width}


@register.inclusion_tag("crm/email/_states_bar.html")
def states_bar(figures: Figures, url: str) -> dict[str, Any]:
    """What became of all recipients as one bar in pieces, each named below it with the list behind it."""
    pieces = []
    x = 0.0
    total = figures.recipients
    for name, label, states in _PIECES:
        count = figures.count(*states)
        if not count or not total:
            continue
        width = 100 * count / total
        if name == "sent" and not figures.has_events:
            label = "Handed over; what became of them is unknown"
        link = f"{url}?state={states[0]}"
        pieces.append({"name": name, "label": label, "count": count, "x": x, "width": width, "link": link})
        x += width
    return {"pieces": pieces, "total": total}


_PIECES = (
    ("delivered", "Delivered", (MessageState.DELIVERED,)),
    ("sent", "Handed over, no news yet", (MessageState.SENT,)),
    ("deferred", "Delayed by the receiver, still being tried", (MessageState.DEFERRED,)),
    ("unknown", "Unknown: the provider's answer never came", (MessageState.UNKNOWN,)),
    ("bounced", "Bounced", (MessageState.BOUNCED,)),
    ("blocked", "Refused for now", (MessageState.BLOCKED,)),
    ("dropped", "Not sent by the provider", (MessageState.DROPPED,)),
    ("failed", "Failed", (MessageState.FAILED,)),
    ("waiting", "Waiting", (MessageState.QUEUED,)),
    ("waiting", "Being sent", (MessageState.CLAIMED,)),
    ("canceled", "Cancelled", (MessageState.CANCELED,)),
)


@register.inclusion_tag("crm/email/_hour_chart.html", takes_context=True)
def hour_chart(context: dict[str, Any], hours: Sequence[Hour]) -> dict[str, Any]:
    """First opens and clicks by hour: opens pale, clicks solid in front."""
    zone = ZoneInfo(getattr(context.get("tenant"), "time_zone", None) or "UTC")
    top = max((max(hour.opened, hour.clicked) for hour in hours), default=0)
    height, gap = 120, 4
    width = min(34, max(10, round(800 / max(len(hours), 1)) - gap))
    every = max(1, round(60 / (width + gap)))
    columns = []
    for position, hour in enumerate(hours):
        opened, clicked = (round(height * count / top) if top else 0 for count in (hour.opened, hour.clicked))
        local = hour.at.astimezone(zone)
        columns.append(
            {
                "hour": hour,
                "x": position * (width + gap),
                "opened": opened,
                "opened_y": height - opened,
                "clicked": clicked,
                "clicked_y": height - clicked,
                "label": f"{local:%H:%M}" if position % every == 0 else "",
                "title": f"{local:%A %H:%M}",
            }
        )
    view_width = max(len(hours) * (width + gap) - gap, 320)
    return {"columns": columns, "top": top, "bar_width": width, "half": width / 2, "view_width": view_width}


@register.inclusion_tag("crm/email/_plain_bars.html")
def plain_bars(bars: Sequence[Bar], label: str) -> dict[str, Any]:
    """Bars lying on top of each other, with no list behind them."""
    top = max((bar.count for bar in bars), default=0)
    return {"rows": [{"bar": bar, "width": round(100 * bar.count / top, 1) if top else 0} for bar in bars], "label": label}


_HAPPENINGS = {
    "queued": "note",
    "sent": "mail",
    "processed": "mail",
    "deferred": "clock",
    "delivered": "check",
    "open": "search",
    "click": "hook",
    "reply": "undo",
    "unsubscribe": "moon",
}


@register.simple_tag
def happening_icon(kind: str) -> SafeString:
    return icon(_HAPPENINGS.get(kind, "cross"))
