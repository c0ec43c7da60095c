"""E-mail on timelines: what became of a sent one, and what somebody answered."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import template
from django.urls import NoReverseMatch, reverse

from crm.email.enums import MessageState
from crm.email.inbound import parts_of
from crm.models import Interaction

register = template.Library()

_LOOKS = {
    MessageState.SENT: ("live", "mail"),
    MessageState.UNKNOWN: ("warn", "clock"),
    MessageState.DEFERRED: ("warn", "clock"),
    MessageState.FAILED: ("bad", "cross"),
    MessageState.SKIPPED: ("warn", "moon"),
    MessageState.DELIVERED: ("good", "check"),
    MessageState.BOUNCED: ("bad", "cross"),
    MessageState.BLOCKED: ("bad", "cross"),
    MessageState.DROPPED: ("bad", "cross"),
}


@register.inclusion_tag("crm/email/_timeline_entry.html")
def email_entry(entry: Interaction) -> dict[str, Any]:
    """The body of a timeline's entry that has a `direction`: state and counts, words, and the link to the message."""
    told = entry.metadata
    is_in = told.get("direction") == "in"
    said, history = parts_of(entry.content) if is_in else (entry.content, "")
    state = MessageState(told["state"]) if told.get("state") in MessageState.values else None
    return {
        "is_in": is_in,
        "said": said,
        "history": history,
        "state": state,
        "look": _LOOKS.get(state, ("", "dot")) if state else None,
        "opens": _count(told.get("open_count")),
        "clicks": _count(told.get("click_count")),
        "is_automatic": told.get("automatic") is True,
        "is_unconfirmed": is_in and told.get("authenticated") is False,
        "is_of_another": told.get("other_sender") is True,
        "refused": _count(told.get("files_refused")),
        "link": _link(told.get("in_reply_to") if is_in else told.get("email")),
        "answer": _answer(entry) if is_in and told.get("automatic") is not True else "",
        "unsubscribed": "unsubscribed_at" in told,
        "spam": "spam_at" in told,
        "replied": "replied_at" in told,
    }


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _answer(entry: Interaction) -> str:
    address = reverse("email:compose", args=[entry.contact_id], urlconf="thanos.urls_tenant")
    return f"{address}?answers={entry.pk}"


def _link(message_id: Any) -> str:
    try:
        return reverse("email:message", args=[UUID(str(message_id))], urlconf="thanos.urls_tenant")
    except (ValueError, NoReverseMatch):
        return ""
