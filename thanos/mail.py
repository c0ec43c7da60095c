"""The product's own e-mail (invitations, password resets, alerts) by the provider that is configured for e-mail.

Under `make run` that is the stand-in, so such e-mail is in the outbox with all other. Where the provider refuses and there
is a mail server as well, that one is asked.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Sequence
from email.utils import parseaddr
from typing import Any

import requests
from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend

logger = logging.getLogger("thanos")

DEFAULT_URL = "https://api.sendgrid.com"
TIMEOUT_S = 10.0


class MailError(OSError):
    """The provider did not take a message; the text says why, without addresses."""


class ProviderBackend(BaseEmailBackend):
    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Return how many were taken. Raises MailError, or what the mail server raises, unless told to fail silently."""
        sent = 0
        for message in email_messages:
            try:
                self._send(message)
                sent += 1
            except (MailError, requests.RequestException) as error:
                logger.warning("The provider did not take an e-mail of ours.", extra={"why": type(error).__name__})
                if settings.ENV.email_url:
                    sent += self._by_server(message)
                elif not self.fail_silently:
                    raise MailError(
                        str(error) if isinstance(error, MailError) else "The provider does not answer."
                    ) from None
        return sent

    def _send(self, message: EmailMessage) -> None:
        if not message.recipients():
            return
        url = (settings.ENV.sendgrid_api_url or DEFAULT_URL).rstrip("/").removesuffix("/v3")
        with requests.Session() as session:
            session.trust_env = False
            answer = session.post(
                f"{url}/v3/mail/send",
                json=request_of(message),
                headers={"Authorization": f"Bearer {settings.ENV.sendgrid_api_key}"},
                timeout=TIMEOUT_S,
                allow_redirects=False,
            )
        if answer.status_code not in (200, 202):
            raise MailError(f"The provider refused it ({answer.status_code}).")

    def _by_server(self, message: EmailMessage) -> int:
        server = get_connection("django.core.mail.backends.smtp.EmailBackend", fail_silently=self.fail_silently)
        return int(server.send_messages([message]) or 0)


def request_of(message: EmailMessage) -> dict[str, Any]:
    """Return a message as the provider's v3 API takes it. Its links are left alone: they sign people in."""
    everybody = {"to": message.to, "cc": message.cc, "bcc": message.bcc}
    contents = [{"type": f"text/{message.content_subtype}", "value": str(message.body) or " "}]
    alternatives = getattr(message, "alternatives", [])
    contents += [{"type": str(kind), "value": str(content)} for content, kind in alternatives]
    body: dict[str, Any] = {
        "personalizations": [{kind: [_person(one) for one in people] for kind, people in everybody.items() if people}],
        "from": _person(message.from_email or settings.DEFAULT_FROM_EMAIL),
        "subject": message.subject or " ",
        "content": sorted(contents, key=lambda content: content["type"] != "text/plain"),
        "tracking_settings": {"click_tracking": {"enable": False}, "open_tracking": {"enable": False}},
    }
    if message.reply_to:
        body["reply_to"] = _person(message.reply_to[0])
    if files := [_file(attachment) for attachment in message.attachments]:
        body["attachments"] = files
    return body


def _person(text: str) -> dict[str, str]:
    name, address = parseaddr(text)
    return {"email": address, "name": name} if name else {"email": address}


def _file(attachment: Any) -> dict[str, str]:
    name, content, kind = attachment
    data = content.encode() if isinstance(content, str) else bytes(content)
    return {"filename": name, "content": base64.b64encode(data).decode(), "type": kind or "application/octet-stream"}
