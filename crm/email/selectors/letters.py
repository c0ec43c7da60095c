"""Messages as their recipients see them: before they are sent, and afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm.email.models import EmailMessage, EmailTemplateVersion, InboundEmail
from crm.email.models.setup import email_settings
from crm.email.rendering.renderer import Rendering, render
from crm.email.rendering.variables import LINKS, values_for
from crm.email.services.sources import names_needed, names_printed, source_of
from crm.models import Contact

NOWHERE = "#"  # where the links of a preview lead: they are made when a message is sent


def preview(*, version: EmailTemplateVersion, contact: Contact, is_bulk: bool = True) -> Rendering:
    """Return what a contact would get now. Raises RenderError."""
    footer = email_settings().footer_html if is_bulk else ""
    names = names_needed(version=version, footer_html=footer)
    return _rendered(version, footer, values_for(contacts=[contact], names=names)[0], NOWHERE)


def letter(message: EmailMessage) -> Rendering:
    """Return what was, or will be, sent. Raises RenderError, also for one that was left out and has no values."""
    if message.version is None:
        return Rendering(message.subject, message.html, message.text)
    return _rendered(message.version, (message.mailing or message).footer_html, message.values or {}, NOWHERE)


def empty_values(*, version: EmailTemplateVersion, contact: Contact) -> list[str]:
    """Return the variables a text prints as they are, with nothing in their place, that are empty for a contact."""
    values = values_for(contacts=[contact], names=names_printed(version=version))[0]
    return sorted(name for name, value in values.items() if value == "")


def as_draft(*, version: EmailTemplateVersion, contact: Contact) -> dict[str, str]:
    """Return a letter a template begins, for a person to go on with. Raises RenderError.

    The links of e-mail to many have no place in it: there is nothing behind them before it is sent.
    """
    values = values_for(contacts=[contact], names=names_needed(version=version))[0]
    shown = _rendered(version, "", values, "")
    return {"subject": shown.subject, "text": shown.text}


def answered_by(contact: Contact, interaction_id: str) -> InboundEmail | None:
    """Return the contact's e-mail on the timeline that is to be answered, if there is such a one."""
    is_id = interaction_id.isascii() and interaction_id.isdigit() and len(interaction_id) < 19
    return InboundEmail.objects.filter(contact=contact, interaction=int(interaction_id)).first() if is_id else None


def subject_of_answer(answered: InboundEmail) -> str:
    subject = answered.subject.strip()
    return subject if subject[:3].casefold() == "re:" else f"Re: {subject}".strip()


def _rendered(version: EmailTemplateVersion, footer: str, values: Mapping[str, Any], link: str) -> Rendering:
    source = source_of(version=version, footer_html=footer)
    return render(source=source, values={**values, **dict.fromkeys(LINKS, link)})
