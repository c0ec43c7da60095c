"""The carrier's webhooks: signature first, then one service call, then TwiML or nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from telephony.enums import CallStatus
from telephony.models import Call
from telephony.services.answering import IncomingCall, answer_call, platform_speech
from telephony.services.briefing import brief_person, take_key
from telephony.services.carrier import signatures
from telephony.services.continuing import continue_call, needs_a_worker
from telephony.services.finishing import take_status
from telephony.services.missed import remember_ended_call
from telephony.services.recordings import take_recording_status
from telephony.services.routing import tenant_of_call
from telephony.services.urls import webhook_url
from telephony.twilio import twiml
from telephony.twilio.signature import SETTINGS_HEADER, SIGNATURE_HEADER
from telephony.workers import worker
from tenants.context import entered
from tenants.enums import Spoken

logger = logging.getLogger("telephony")

Handler = Callable[[HttpRequest], HttpResponse]

DATABASE_RETRIES = 15
DATABASE_PAUSE_S = 2
MAX_SID_LENGTH = 64


def from_carrier(handler: Handler) -> Handler:
    """Answer 403 unless the request carries a valid signature over its public URL and every form field."""

    @csrf_exempt
    @require_POST
    @wraps(handler)
    def checked(request: HttpRequest) -> HttpResponse:
        url = settings.PUBLIC_URL + request.get_full_path()
        signature, header = request.headers.get(SIGNATURE_HEADER), request.headers.get(SETTINGS_HEADER)
        if not signatures().is_valid(url, request.POST, signature, header):
            logger.warning("A webhook without a valid signature was refused.", extra={"path": request.path})
            return HttpResponse("The signature does not fit.", status=403, content_type="text/plain")
        return handler(request)

    return checked


def _is_a_call(request: HttpRequest) -> bool:
    sid, to = request.POST.get("CallSid", ""), request.POST.get("To", "")
    return 0 < len(sid) <= MAX_SID_LENGTH and sid.isalnum() and bool(to)


def _twiml(text: str) -> HttpResponse:
    return HttpResponse(text, content_type="text/xml")


@from_carrier
def incoming_call(request: HttpRequest) -> HttpResponse:
    if not _is_a_call(request):
        return HttpResponse("CallSid or To is missing.", status=400, content_type="text/plain")
    if worker.is_draining:
        return _leave_to_another("incoming-call", request)
    try:
        return _twiml(answer_call(incoming=IncomingCall.from_form(request.POST)))
    except (OperationalError, InterfaceError):
        # The caller waits a moment rather than hearing an error: databases come back.
        logger.exception("A call could not be answered: the database is away.")
        return _ask_again("incoming-call", request, seconds=DATABASE_PAUSE_S)


def _leave_to_another(name: str, request: HttpRequest) -> HttpResponse:
    """This worker is ending: another takes the call in a second. When none does, the caller hears a sentence."""
    response = _ask_again(name, request, seconds=1)
    return response if response.status_code == 200 else _twiml(twiml.say_and_hang_up(platform_speech(Spoken.FAILURE)))


def _ask_again(name: str, request: HttpRequest, *, seconds: int) -> HttpResponse:
    attempt = request.GET.get("attempt", "0")
    count = int(attempt) + 1 if attempt.isdigit() else 1
    if count > DATABASE_RETRIES:
        return HttpResponse("Not available.", status=503, content_type="text/plain")
    return _twiml(twiml.wait_and_ask_again(url=webhook_url(name, attempt=str(count)), seconds=seconds))


@from_carrier
def call_continue(request: HttpRequest) -> HttpResponse:
    if not _is_a_call(request):
        return HttpResponse("CallSid or To is missing.", status=400, content_type="text/plain")
    try:
        tenant = tenant_of_call(request.POST)
        if tenant is None:
            return _twiml(twiml.say_and_hang_up())
        with entered(tenant):
            call = Call.objects.select_related("line").filter(call_sid=request.POST.get("CallSid", "")).first()
            if call is not None and not tenant.is_active:
                return _twiml(twiml.say_and_hang_up(platform_speech(Spoken.INACTIVE_TENANT)))
            if call is not None and worker.is_draining and needs_a_worker(call, request.POST):
                return _leave_to_another("call-continue", request)
            if call is not None:
                return _twiml(continue_call(call=call, tenant=tenant, form=request.POST))
        # The number's fallback address: the first request failed before the call was stored.
        return _twiml(answer_call(incoming=IncomingCall.from_form(request.POST)))
    except (OperationalError, InterfaceError):
        logger.exception("A call could not be continued: the database is away.")
        return _ask_again("call-continue", request, seconds=DATABASE_PAUSE_S)


@from_carrier
def call_briefing(request: HttpRequest) -> HttpResponse:
    """The person a call is to be put through to has picked up, or pressed a key. The call is named in our own URL."""
    sid = request.GET.get("call", "")
    tenant = tenant_of_call({**request.POST.dict(), "CallSid": sid})
    if tenant is None:
        return _twiml(twiml.say_and_hang_up())
    with entered(tenant):
        call = Call.objects.select_related("line", "contact").filter(call_sid=sid).first()
        if call is None:
            return _twiml(twiml.say_and_hang_up())
        if request.GET.get("asked"):
            return _twiml(take_key(call=call, digits=request.POST.get("Digits", "")))
        return _twiml(brief_person(call=call, tenant=tenant))


@from_carrier
def call_status(request: HttpRequest) -> HttpResponse:
    status = request.POST.get("CallStatus", "")
    tenant = tenant_of_call(request.POST)
    if tenant is None or status not in CallStatus.values:
        return HttpResponse(status=204)
    duration = request.POST.get("CallDuration", "")
    duration_s = int(duration) if duration.isdigit() else None
    with entered(tenant):
        call = Call.objects.filter(call_sid=request.POST.get("CallSid", "")).first()
        if call is not None:
            take_status(call=call, status=CallStatus(status), duration_s=duration_s)
        elif CallStatus(status).is_final:
            remember_ended_call(form=request.POST, status=CallStatus(status), duration_s=duration_s)
    return HttpResponse(status=204)


@from_carrier
def recording_status(request: HttpRequest) -> HttpResponse:
    tenant = tenant_of_call(request.POST)
    if tenant is None or not request.POST.get("RecordingSid"):
        return HttpResponse(status=204)
    with entered(tenant):
        call = Call.objects.filter(call_sid=request.POST.get("CallSid", "")).first()
        if call is not None:
            take_recording_status(call=call, form=request.POST)
    return HttpResponse(status=204)


urlpatterns = [
    path("api/webhooks/incoming-call", incoming_call, name="webhook-incoming-call"),
    path("api/webhooks/call-continue", call_continue, name="webhook-call-continue"),
    path("api/webhooks/call-briefing", call_briefing, name="webhook-call-briefing"),
    path("api/webhooks/call-status", call_status, name="webhook-call-status"),
    path("api/webhooks/recording-status", recording_status, name="webhook-recording-status"),
]
