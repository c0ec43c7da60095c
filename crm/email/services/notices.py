"""E-mail to people of the organisation itself: a template tried out, news of a domain. On nobody's timeline."""

from __future__ import annotations

import secrets

from django.conf import settings

from crm.email.providers import registry
from crm.email.providers.base import Accepted, NoAnswer, Outgoing, Recipient
from crm.email.services.senders import Sender

NO_WAY = "This installation has no way of sending e-mail."


class NotDeliveredError(Exception):
    """It has not left, as far as is known. The text says why, for people."""

    def __init__(self, text: str, *, may_have_left: bool = False) -> None:
        super().__init__(text)
        self.may_have_left = may_have_left


def platform_sender() -> Sender:
    """Return a sender that does not depend on the organisation's own domain."""
    env = settings.ENV
    return Sender(env.smtp_from_email, env.smtp_from_name, "", is_own_domain=False)


def send_notice(*, to: str, sender: Sender, subject: str, text: str, html: str = "") -> None:
    """Send one e-mail now, the way mailings leave. Raises NotDeliveredError."""
    provider = registry.provider()
    if provider is None:
        raise NotDeliveredError(NO_WAY)
    parts = {"subject": subject, "html": html, "text": text}
    batch = Outgoing(
        key=secrets.token_hex(6),
        from_email=sender.from_email,
        from_name=sender.from_name,
        reply_to=sender.reply_to,
        statics={part: (words,) for part, words in parts.items() if words or part == "subject"},
        recipients=(Recipient(to, "", {}),),
    )
    try:
        answer = provider.send(batch)
    finally:
        provider.close()
    if not isinstance(answer, Accepted):
        raise NotDeliveredError(answer.text, may_have_left=isinstance(answer, NoAnswer))
