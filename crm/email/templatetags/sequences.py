"""How enrolments, their figures and dates to come look."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from crm.email.enums import EnrolmentState
from crm.email.selectors.sequences import Share
from thanos.templatetags.ui import UNKNOWN, icon

register = template.Library()

_STATES = {
    EnrolmentState.ACTIVE: ("live", "clock"),
    EnrolmentState.DONE: ("good", "check"),
    EnrolmentState.REPLIED: ("good", "mail"),
    EnrolmentState.UNSUBSCRIBED: ("warn", "hangup"),
    EnrolmentState.STOPPED: ("", "pause"),
    EnrolmentState.BLOCKED: ("bad", "cross"),
}


@register.simple_tag
def enrolment_badge(state: str) -> SafeString:
    """An enrolment's state as colour, shape and word."""
    known = EnrolmentState(state)
    tone, shape = _STATES[known]
    return format_html('<span class="badge badge--{}">{}{}</span>', tone or "plain", icon(shape), known.label)


@register.simple_tag(takes_context=True)
def due(context: dict[str, Any], at: datetime | None) -> SafeString:
    """A moment to come as people say it, with the exact one, in the tenant's zone, on hover."""
    if at is None:
        return format_html('<span class="muted">{}</span>', "–")
    tenant = context.get("tenant")
    local = at.astimezone(ZoneInfo(getattr(tenant, "time_zone", None) or "UTC"))
    exact = local.strftime("%A %d %B %Y, %H:%M %Z")
    return format_html('<time datetime="{}" title="{}">{}</time>', at.isoformat(), exact, _ahead(at, local))


def _ahead(at: datetime, local: datetime) -> str:
    minutes = (at - timezone.now()).total_seconds() / 60
    if minutes <= 0:
        return "now"
    if minutes < 60:
        return f"in {max(1, round(minutes))} min"
    if minutes < 48 * 60:
        return f"in {round(minutes / 60)} h"
    if minutes < 14 * 24 * 60:
        return f"in {round(minutes / 1440)} days"
    return local.strftime("%d %b %Y")


@register.simple_tag
def share_of(share: Share) -> SafeString:
    """How many of how many, as a number and a percentage; what nobody can know says so."""
    if share.is_unknown:
        return format_html('<span class="unknown">{}</span>', UNKNOWN)
    if share.share is None:
        return format_html('<span class="muted">{}</span>', "–")
    return format_html('<span title="{} of {}">{} %</span>', share.count, share.of, round(share.share * 100))
