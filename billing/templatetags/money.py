"""How amounts, quantities and levels look."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from billing.enums import Level
from billing.models import Account
from billing.money import shown
from billing.selectors import Row
from thanos.templatetags.ui import UNKNOWN, icon

register = template.Library()


@register.simple_tag
def money(value: Decimal | None, currency: str) -> SafeString:
    """An amount to read, the exact one on hover."""
    if not isinstance(value, Decimal):
        return format_html('<span class="unknown">{}</span>', UNKNOWN)
    exact = f"{value.normalize():f} {currency}"
    return format_html('<span class="money" title="{}">{}</span>', exact, shown(value, currency))


@register.filter
def amount(value: Decimal | None, currency: str) -> str:
    """An amount as plain text, for where no markup may stand."""
    return shown(value, currency)


@register.filter
def quantity(value: Decimal | None) -> str:
    """A quantity without zeros behind its point."""
    if value is None:
        return UNKNOWN
    whole = value.quantize(Decimal("0.01")) if abs(value) >= 1 else value
    text = f"{whole:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@register.simple_tag
def share(amount: Decimal, limit: Decimal) -> str:
    """A part of a whole as a bar of 100 is wide."""
    return f"{min(Decimal(100), max(Decimal(0), amount * 100 / limit)):.1f}" if limit else "100"


@register.simple_tag
def part(value: Decimal) -> str:
    return f"{min(Decimal(100), max(Decimal(0), value * 100)):.1f}"


_TONES = {
    Level.NONE: ("good", "check"),
    Level.INFO: ("live", "dot"),
    Level.WARNING: ("warn", "pause"),
    Level.CRITICAL: ("bad", "cross"),
    Level.EMERGENCY: ("bad", "cross"),
}


@register.simple_tag
def level_badge(level: int) -> SafeString:
    known = Level(level)
    tone, shape = _TONES[known]
    return format_html('<span class="badge badge--{}">{}{}</span>', tone, icon(shape), known.label)


@register.inclusion_tag("ui/_cost_chart.html")
def cost_chart(rows: Sequence[Row], currency: str, url: str) -> dict[str, Any]:
    """A bar for each day, each a link to the entries behind it."""
    top = max((row.amount for row in rows), default=Decimal(0))
    width, gap = 20, 6
    columns = []
    for position, row in enumerate(rows):
        height = round(120 * row.amount / top) if top > 0 and row.amount > 0 else 0
        columns.append(
            {
                "row": row,
                "x": position * (width + gap),
                "height": height,
                "y": 120 - height,
                "shown": shown(row.amount, currency),
                "is_labelled": position % 2 == 0,
            }
        )
    view_width = len(rows) * (width + gap) - gap
    return {
        "columns": columns,
        "url": url,
        "top": shown(top, currency),
        "bar_width": width,
        "half": width / 2,
        "view_width": view_width,
    }


@register.inclusion_tag("ui/_cost_list.html")
def cost_list(rows: Sequence[Row], currency: str, url: str = "", name: str = "") -> dict[str, Any]:
    """Bars lying on top of each other. With `url` each leads to the entries whose field `name` is the row's."""
    top = max((row.amount for row in rows), default=Decimal(0))
    made = [
        {
            "label": row.label,
            "width": f"{max(Decimal(0), row.amount) * 100 / top:.1f}" if top > 0 else "0",
            "shown": UNKNOWN if row.unknown and not row.amount else shown(row.amount, currency),
            "url": f"{url}?{urlencode({name: row.key})}" if url else row.url,
        }
        for row in rows
    ]
    return {"rows": made}


_ACCOUNT_TONES = {"active": ("good", "check"), "trialing": ("live", "dot"), "past_due": ("warn", "pause")}
_INVOICE_TONES = {"paid": ("good", "check"), "open": ("warn", "pause"), "void": ("", "cross")}


@register.simple_tag
def account_badge(account: Account) -> SafeString:
    tone, shape = _ACCOUNT_TONES.get(account.status, ("bad", "cross"))
    return format_html('<span class="badge badge--{}">{}{}</span>', tone, icon(shape), account.get_status_display())


@register.simple_tag
def invoice_badge(status: str) -> SafeString:
    tone, shape = _INVOICE_TONES.get(status, ("bad", "cross"))
    return format_html('<span class="badge badge--{}">{}{}</span>', tone, icon(shape), status.capitalize())
