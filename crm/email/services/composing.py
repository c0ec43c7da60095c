"""A letter to one contact, written on their page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from django.utils.html import escape, strip_tags, urlize

from crm.email.enums import MessageState, SkipReason
from crm.email.models import EmailMessage, EmailTemplateVersion, InboundEmail
from crm.email.providers import registry
from crm.email.services.queueing import queue_message
from crm.email.services.suppressing import reason_for
from crm.models import Contact

if TYPE_CHECKING:
    from tenants.models import User

MAX_LENGTH = 200_000
_BLANK = re.compile(r"\n\s*\n")


class ComposeError(ValueError):
    """This cannot be sent; the text says why, `reason` when it is the recipient's."""

    def __init__(self, message: str, field: str = "", reason: SkipReason | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.reason = reason


def send_to_contact(
    *,
    contact: Contact,
    subject: str = "",
    html: str = "",
    text: str = "",
    version: EmailTemplateVersion | None = None,
    key: UUID | None = None,
    answers: InboundEmail | None = None,
    by: User | None,
) -> EmailMessage:
    """Send one message to one contact: a template's version, or what was written by hand (text, HTML or both).

    The same words once more with the same `key`, which the page they were written on has, are the same message: it is
    returned, and not sent again. Raises ComposeError.
    """
    reason = reason_for(contact=contact, address=contact.contact_email)
    if reason is not None:
        raise ComposeError(f"{contact} cannot be written to: {reason.label}.", reason=reason)
    if registry.provider() is None:
        raise ComposeError("This installation has no way of sending e-mail.")
    if version is None:
        subject, html, text = _checked(subject, html, text)
    words = f"{contact.pk} {version.pk if version else ''} {subject}\n{html}\n{text}"
    message = queue_message(
        contact=contact,
        version=version,
        subject=subject,
        html=html,
        text=text,
        is_bulk=False,
        in_reply_to=answers.header_id if answers is not None else "",
        by=by,
        message_id=uuid5(key, words) if key else None,
    )
    if message.state == MessageState.SKIPPED:  # in the moment between
        skipped = SkipReason(message.skip_reason)
        raise ComposeError(f"{contact} cannot be written to: {skipped.label}.", reason=skipped)
    return message


def _checked(subject: str, html: str, text: str) -> tuple[str, str, str]:
    subject, text = " ".join(subject.split()), text.replace("\r\n", "\n").strip()
    if not subject:
        raise ComposeError("Write a subject.", "subject")
    if len(subject) > 400:
        raise ComposeError("At most 400 characters.", "subject")
    if not text and not strip_tags(html).strip():
        raise ComposeError("Write something.", "text")
    if len(text) + len(html) > MAX_LENGTH:
        raise ComposeError(f"At most {MAX_LENGTH:,} characters.", "text")
    return subject, html or paragraphs(text), text


def paragraphs(text: str) -> str:
    """Return plain text as HTML: paragraphs at empty lines, breaks at others, addresses as links."""
    parts = (part.strip("\n") for part in _BLANK.split(text.strip()))
    return "\n".join(f"<p>{urlize(escape(part)).replace(chr(10), '<br>')}</p>" for part in parts)
