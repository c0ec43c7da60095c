"""What SendGrid tells us: news of messages, and answers to them. Source: /docs of both webhooks, read 2026-11-20."""

from __future__ import annotations

import logging
import time

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from crm.email import signing
from crm.email.inbound import FormError, read_form
from crm.email.services.events import MalformedError, read_events, store_events
from crm.email.services.replies import take_reply

logger = logging.getLogger("crm.email")

EVENTS_MAX_BYTES = 5 * 1024 * 1024
INBOUND_MAX_BYTES = 31 * 1024 * 1024  # the provider's 30 MB, and what multipart puts around it


def _answer(status: int, text: str = "") -> HttpResponse:
    return HttpResponse(text, status=status, content_type="text/plain")


def _body(request: HttpRequest, limit: int) -> bytes | None:
    """Return the body as it came; None when it is larger. (`request.body` has a limit of its own, for forms.)"""
    announced = request.headers.get("Content-Length", "")
    if announced.isdigit() and int(announced) > limit:
        return None
    body: bytes = request.read(limit + 1)
    return body if len(body) <= limit else None


@csrf_exempt
@require_POST
def events(request: HttpRequest) -> HttpResponse:
    body = _body(request, EVENTS_MAX_BYTES)
    if body is None:
        return _answer(413, "This is larger than what is taken.")
    if not _is_the_provider(request, body):
        return _answer(403, "The signature does not fit.")
    try:
        found = read_events(body)
    except MalformedError:
        logger.warning("Signed news of e-mail could not be read.", extra={"size": len(body)})
        return _answer(400, "This is not a JSON list.")
    try:
        stored = store_events(found)
    except (DatabaseError, InterfaceError):
        logger.exception("News of e-mail could not be stored: the provider is asked to repeat it.")
        return _answer(503, "Not available.")
    if stored.ignored:
        logger.info("News of e-mail that is not ours to know was ignored.", extra={"count": stored.ignored})
    return _answer(204)


def _is_the_provider(request: HttpRequest, body: bytes) -> bool:
    keys = settings.ENV.sendgrid_webhook_public_key
    if not keys:
        logger.warning("News of e-mail was refused: SENDGRID_WEBHOOK_PUBLIC_KEY is not set.")
        return False
    timestamp = request.headers.get(signing.TIMESTAMP_HEADER, "")
    signature = request.headers.get(signing.SIGNATURE_HEADER, "")
    if not signing.is_signed(keys=keys, timestamp=timestamp, body=body, signature=signature):
        logger.warning("News of e-mail without a valid signature was refused.")
        return False
    if not signing.is_timely(timestamp, now=time.time()):
        logger.warning("News of e-mail with the signature of another day was refused.")
        return False
    return True


@csrf_exempt
@require_POST
def inbound(request: HttpRequest, secret: str) -> HttpResponse:
    """Answers that came in. Only a 5xx is repeated by the provider, so that is for our own failures alone."""
    if not signing.is_inbound_secret(secret):
        logger.warning("An incoming e-mail at an address with a wrong secret was refused.")
        return _answer(403, "This is not the address.")
    body = _body(request, INBOUND_MAX_BYTES)
    if body is None:
        logger.warning("An incoming e-mail was larger than what is taken.")
        return _answer(413, "This is larger than what is taken.")
    try:
        form = read_form(request.headers.get("Content-Type", ""), body)
    except FormError:
        logger.warning("An incoming e-mail was not a form that can be read.")
        return _answer(400, "This is not a form of several parts.")
    try:
        taken = take_reply(form)
    except (DatabaseError, InterfaceError, OSError):
        logger.exception("An incoming e-mail could not be stored: the provider is asked to repeat it.")
        return _answer(503, "Not available.")
    logger.info("An incoming e-mail was dealt with.", extra={"outcome": taken})
    return _answer(200)


urlpatterns = [
    path("api/webhooks/sendgrid", events, name="webhook-sendgrid"),
    path("api/webhooks/sendgrid/inbound/<str:secret>", inbound, name="webhook-sendgrid-inbound"),
]
