"""The carrier's webhooks of text messages: signature first, then one service call, then nothing."""

from __future__ import annotations

import logging

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.urls import path

from telephony.texting.services.receiving import IncomingText, take_text
from telephony.texting.services.statuses import take_status
from telephony.twilio import twiml
from telephony.webhooks import from_carrier
from tenants.parsers import takes_any_text

logger = logging.getLogger("telephony")


@from_carrier
def sms_status(request: HttpRequest) -> HttpResponse:
    take_status(form=request.POST, query=request.GET)
    return HttpResponse(status=204)


@takes_any_text
@from_carrier
def incoming_sms(request: HttpRequest) -> HttpResponse:
    """An empty answer: the message is kept, and whatever is sent back goes the usual way."""
    incoming = IncomingText.from_form(request.POST)
    if incoming is None:
        return HttpResponse("MessageSid is missing.", status=400, content_type="text/plain")
    try:
        take_text(incoming)
    except (OperationalError, InterfaceError):
        # Not answered with success: the carrier keeps the message in its log, and its number's fallback asks again.
        logger.exception("A text message could not be kept: the database is away.")
        return HttpResponse("Not available.", status=503, content_type="text/plain")
    return HttpResponse(twiml.empty(), content_type="text/xml")


urlpatterns = [
    path("api/webhooks/sms-status", sms_status, name="webhook-sms-status"),
    path("api/webhooks/incoming-sms", incoming_sms, name="webhook-incoming-sms"),
]
