"""What keeps e-mail from working as it could, each with the step that cures it."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from django.conf import settings

from crm.email.signing import KeyFormatError, read_key
from tenants.services.database import LOCAL_HOSTS


def findings() -> Iterator[tuple[str, str]]:
    """Yield what is missing or wrong, and its cure. Run outside of any tenant; nothing here asks the provider."""
    env = settings.ENV
    if not env.sendgrid_api_key:
        if settings.EMAIL_IS_DELIVERED:
            yield (
                "E-mail to contacts goes through the mail server: what becomes of it stays unknown.",
                "Set SENDGRID_API_KEY.",
            )
        else:
            yield "No e-mail can be sent to contacts.", "Set SENDGRID_API_KEY, or EMAIL_URL."
        return
    if not env.sendgrid_webhook_public_key:
        yield (
            "News of e-mail is refused: what becomes of it stays unknown.",
            f"Switch the signed event webhook on for {settings.PUBLIC_URL}/api/webhooks/sendgrid, "
            "and set SENDGRID_WEBHOOK_PUBLIC_KEY to its key.",
        )
    for number, key in enumerate(env.sendgrid_webhook_public_key, start=1):
        try:
            read_key(key)
        except KeyFormatError as error:
            yield f"Key {number} of SENDGRID_WEBHOOK_PUBLIC_KEY is {error}.", "Copy it from the event webhook's settings."
    if not env.inbound_email_host:
        yield (
            "Answers to e-mail do not appear on timelines: no host takes them in.",
            "Set INBOUND_EMAIL_HOST, and Inbound Parse for it to the address on the e-mail settings page.",
        )
    url = urlsplit(settings.PUBLIC_URL)
    if url.scheme != "https" and url.hostname not in LOCAL_HOSTS and "sendgrid" not in env.sandboxed_providers:
        yield (
            f"PUBLIC_BASE_URL is {settings.PUBLIC_URL}: mailbox providers accept one-click unsubscribing over https only.",
            "Set PUBLIC_BASE_URL=https://…",
        )
