"""How the state of a text message looks."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from telephony.texting.enums import State
from telephony.texting.models import Message
from thanos.templatetags.ui import icon

register = template.Library()

_LOOKS = {
    State.WAITING: ("", "clock"),
    State.SENDING: ("", "clock"),
    State.UNCERTAIN: ("warn", "pause"),
    State.QUEUED: ("", "clock"),
    State.SENT: ("", "dot"),
    State.FAILED: ("bad", "cross"),
    State.UNDELIVERED: ("bad", "cross"),
    State.DELIVERED: ("good", "check"),
    State.BLOCKED: ("warn", "hangup"),
    State.RECEIVED: ("", "sms"),
}


@register.simple_tag
def text_state(message: Message) -> SafeString:
    """A message's state as colour, shape and word."""
    tone, shape = _LOOKS[State(message.state)]
    css = f" badge--{tone}" if tone else ""
    return format_html('<span class="badge{}">{}{}</span>', css, icon(shape), message.get_state_display())
