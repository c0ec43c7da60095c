"""Tags and filters of every page: how times, lengths, numbers and charts look."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import template
from django.templatetags.static import static
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from telephony.enums import CallStatus
from telephony.masking import mask_number, mask_numbers

register = template.Library()

UNKNOWN = "unknown"


@register.simple_tag
def icon(name: str) -> SafeString:
    return format_html('<svg class="icon" aria-hidden="true"><use href="{}#{}"></use></svg>', static("img/icons.svg"), name)


@register.simple_tag(takes_context=True)
def moment(context: dict[str, Any], at: datetime | None) -> SafeString:
    """A time as people say it, with the exact one, in the tenant's zone, on hover."""
    if at is None:
        return format_html('<span class="unknown">{}</span>', UNKNOWN)
    tenant = context.get("tenant")
    local = at.astimezone(ZoneInfo(getattr(tenant, "time_zone", None) or "UTC"))
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        at.isoformat(),
        local.strftime("%A %d %B %Y, %H:%M:%S %Z"),
        _ago(at, local),
    )


def _ago(at: datetime, local: datetime) -> str:
    seconds = (timezone.now() - at).total_seconds()
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        return f"{int(seconds // 60)} min ago"
    if seconds < 86_400:
        return f"{int(seconds // 3600)} h ago"
    if seconds < 7 * 86_400:
        return local.strftime("%A %H:%M")
    return local.strftime("%d %b %Y")


@register.simple_tag(takes_context=True)
def clock(context: dict[str, Any], at: datetime) -> SafeString:
    tenant = context.get("tenant")
    local = at.astimezone(ZoneInfo(getattr(tenant, "time_zone", None) or "UTC"))
    return format_html('<time datetime="{}">{}</time>', at.isoformat(), local.strftime("%H:%M:%S"))


@register.filter
def duration(value: timedelta | None) -> str:
    if value is None:
        return UNKNOWN
    minutes, seconds = divmod(int(value.total_seconds()), 60)
    return f"{minutes}:{seconds:02d}"


@register.filter
def seconds(value: float | None) -> str:
    """A length in seconds, as `duration` shows one."""
    return UNKNOWN if not isinstance(value, (int, float)) else duration(timedelta(seconds=round(value)))


@register.filter
def percent(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value * 100:.0f} %"


@register.filter
def milliseconds(value: int | str | None) -> str:
    if not isinstance(value, int):  # a lookup that failed in a template is an empty string
        return UNKNOWN
    return f"{value} ms" if value < 1000 else f"{value / 1000:.1f} s"


@register.simple_tag(takes_context=True)
def phone(context: dict[str, Any], number: str) -> str:
    """A telephone number, whole for those who manage the organisation and masked for the others."""
    if not number:
        return "no number"
    membership = context.get("membership")
    return number if membership is not None and membership.can_manage else mask_number(number)


@register.simple_tag(takes_context=True)
def detail(context: dict[str, Any], value: object) -> object:
    """A value of an event; telephone numbers as `phone` shows them."""
    membership = context.get("membership")
    return value if membership is not None and membership.can_manage else mask_numbers(value)


_TONES = {
    CallStatus.RINGING: ("live", "ring"),
    CallStatus.IN_PROGRESS: ("live", "dot"),
    CallStatus.COMPLETED: ("good", "check"),
    CallStatus.BUSY: ("warn", "pause"),
    CallStatus.NO_ANSWER: ("warn", "pause"),
    CallStatus.CANCELED: ("warn", "pause"),
    CallStatus.FAILED: ("bad", "cross"),
}


@register.simple_tag
def status_badge(status: str) -> SafeString:
    """A call's status as colour, shape and word."""
    known = CallStatus(status)
    tone, shape = _TONES[known]
    return format_html('<span class="badge badge--{}">{}{}</span>', tone, icon(shape), known.label)


@register.inclusion_tag("ui/_bar_chart.html")
def day_chart(days: Sequence[Any], label: str) -> dict[str, Any]:
    """Bars of calls per day: answered ones solid, the others outlined on top."""
    top = max((day.count for day in days), default=0)
    height, width, gap = 120, 28, 8
    bars = []
    for position, day in enumerate(days):
        full = round(height * day.count / top) if top else 0
        answered = round(height * day.answered / top) if top else 0
        x = position * (width + gap)
        bars.append(
            {"day": day, "x": x, "full": full, "y": height - full, "answered": answered, "answered_y": height - answered}
        )
    return {
        "bars": bars,
        "label": label,
        "top": top,
        "bar_width": width,
        "height": height,
        "view_height": height + 22,
        "view_width": len(days) * (width + gap) - gap,
        "text_y": height + 16,
        "half": width / 2,
    }


@register.inclusion_tag("ui/_bar_list.html")
def bar_list(bars: Sequence[Any], url: str, label: str) -> dict[str, Any]:
    """Bars lying on top of each other, each a link to the list behind it. A bar has `label`, `count` and `query`."""
    top = max((bar.count for bar in bars), default=0)
    rows = [{"bar": bar, "width": round(100 * bar.count / top, 1) if top else 0} for bar in bars]
    return {"rows": rows, "url": url, "label": label}


@register.inclusion_tag("ui/_column_chart.html")
def column_chart(bars: Sequence[Any], url: str, label: str) -> dict[str, Any]:
    """Bars standing side by side, each a link to the list behind it."""
    top = max((bar.count for bar in bars), default=0)
    height, width, gap = 120, 34, 8
    columns = [
        {
            "bar": bar,
            "x": position * (width + gap),
            "height": (full := round(height * bar.count / top) if top else 0),
            "y": height - full,
            "is_labelled": position % 2 == len(bars) % 2,
        }
        for position, bar in enumerate(bars)
    ]
    view_width = len(bars) * (width + gap) - gap
    return {"columns": columns, "url": url, "label": label, "top": top, "bar_width": width, "view_width": view_width}


_UNDO = {
    "undo": "crm:contact-restore",
    "unmerge": "crm:merge-undo",
    "reopen": "crm:task-done",
    "undelete-template": "email:template-undelete",
    "suppress": "email:suppression-return",
}


@register.simple_tag
def undo_url(message: Any) -> str:
    """Where a message's undo button leads; empty for a message without one."""
    name, _, pk = (message.extra_tags or "").partition(":")
    return reverse(_UNDO[name], args=[pk]) if name in _UNDO and pk.isdigit() else ""
