"""How statuses, kinds and fields of contacts look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from django import template
from django.http import QueryDict
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from crm.enums import InteractionKind
from crm.fieldtypes import to_text
from crm.models import Contact, ContactStatus, CustomField
from thanos.templatetags.ui import icon

register = template.Library()

_ICONS = {
    InteractionKind.PHONE_CALL: "phone",
    InteractionKind.EMAIL: "mail",
    InteractionKind.SMS: "sms",
    InteractionKind.MEETING: "people",
    InteractionKind.NOTE: "note",
    InteractionKind.TASK: "task",
    InteractionKind.FOLLOW_UP: "clock",
}


_ARROWS = {"ascending": " ↑", "descending": " ↓"}


@register.simple_tag(takes_context=True)
def contact_status(
    context: dict[str, Any], contact: Contact, statuses: Mapping[str, ContactStatus] | None = None
) -> SafeString:
    """A contact's status as colour, shape and word, as the tenant calls it."""
    status = statuses.get(contact.status) if statuses is not None else context.get("status")
    label = status.label if status else contact.get_status_display()
    colour = status.colour if status else "grey"
    return format_html('<span class="badge status status--{}">{}{}</span>', colour, icon("dot"), label)


@register.simple_tag
def status_options(statuses: Mapping[str, ContactStatus], chosen: str) -> SafeString:
    """The options of a choice of status; made once for all cards of a column."""
    rows = ((key, SafeString(" selected" if key == chosen else ""), status.label) for key, status in statuses.items())
    return format_html_join("", '<option value="{}"{}>{}</option>', rows)


@register.simple_tag(takes_context=True)
def sort_header(context: dict[str, Any], label: str, first: str, other: str, classes: str = "") -> SafeString:
    """The heading of a column that sorts the list: by `first`, and when it is sorted so already, by `other`."""
    chosen = context["chosen"].sort
    query = QueryDict(context["query"], mutable=True)
    query["sort"] = other if chosen == first else first
    if context.get("layout") == "cards":
        query["layout"] = "cards"
    state = {first: "descending" if first.startswith("-") else "ascending"}
    state[other] = "descending" if other.startswith("-") else "ascending"
    sorted_by = format_html(' aria-sort="{}"', state[chosen]) if chosen in state else ""
    link = format_html('<a href="?{}">{}{}</a>', query.urlencode(), label, _ARROWS.get(state.get(chosen, ""), ""))
    return format_html('<th scope="col" class="{}"{}>{}</th>', classes, sorted_by, link)


@register.simple_tag
def interaction_icon(kind: str) -> SafeString:
    return icon(_ICONS[InteractionKind(kind)])


@register.simple_tag(takes_context=True)
def custom_value(context: dict[str, Any], contact: Contact, definition: CustomField) -> str:
    zone = ZoneInfo(getattr(context.get("tenant"), "time_zone", None) or "UTC")
    return to_text(definition, contact.custom_fields.get(definition.key), zone)
