"""The carrier's webhooks: signature first, then one service call, then TwiML or nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import wraps

from django.conf import settings
from django.db import DataError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, QueryDict
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
from telephony.twilio.fields import is_sid, valid_form, whole
from telephony.twilio.signature import SETTINGS_HEADER, SIGNATURE_HEADER
from telephony.workers import worker
from tenants.context import entered
from tenants.enums import Spoken

logger = logging.getLogger("telephony")

Handler = Callable[[HttpRequest], HttpResponse]

DATABASE_RETRIES = 15
DATABASE_PAUSE_S = 2
PREFIX = "/api/webhooks/"
# What is answered with TwiML can be asked for again; of the others the carrier only wants to know that they were taken.
TWIML_PATHS = frozenset(PREFIX + name for name in ("incoming-call", "call-continue", "call-briefing"))
CARRIER_PATHS = TWIML_PATHS | {PREFIX + name for name in ("call-status", "recording-status", "sms-status", "incoming-sms")}
_OURS = ("call", "asked")  # what stands in the addresses we give the carrier
# What the carrier says once, and not again when it follows our redirect.
_SAID_ONCE = ("DialCallStatus", "DialCallDuration", "RecordingSid", "Digits")


def from_carrier(handler: Handler) -> Handler:
    """Answer 403 unless the request carries a valid signature over its public URL and every form field.

    While the database is away the caller waits a moment rather than hearing an error: databases come back.
    """

    @csrf_exempt
    @require_POST
    @wraps(handler)
    def checked(request: HttpRequest) -> HttpResponse:
        url = settings.PUBLIC_URL + request.get_full_path()
        signature, header = request.headers.get(SIGNATURE_HEADER), request.headers.get(SETTINGS_HEADER)
        if not signatures().is_valid(url, request.POST, signature, header):
            logger.warning("A webhook without a valid signature was refused.", extra={"path": request.path})
            return HttpResponse("The signature does not fit.", status=403, content_type="text/plain")
        try:
            return handler(request)
        except (OperationalError, InterfaceError):
            logger.exception("A webhook could not be answered: the database is away.")
            return _ask_again(request, seconds=DATABASE_PAUSE_S)
        except DataError:
            logger.warning("A webhook holds a value that cannot be stored.", extra={"path": request.path})
            return _bad("A value cannot be stored.")

    return checked


def _bad(text: str) -> HttpResponse:
    return HttpResponse(text, status=400, content_type="text/plain")


def _form(request: HttpRequest) -> dict[str, str]:
    """Return the form as valid text, with what the carrier said before we asked it to come again."""
    said_before = {name: request.GET[name] for name in _SAID_ONCE if name in request.GET}
    return valid_form({**said_before, **request.POST.dict()})


def _is_a_call(form: Mapping[str, str]) -> bool:
    account = form.get("AccountSid", "")
    return is_sid(form.get("CallSid", "")) and bool(form.get("To")) and (not account or is_sid(account))


def _twiml(text: str) -> HttpResponse:
    return HttpResponse(text, content_type="text/xml")


NO_CALL = "CallSid or To is missing, or no identifier."


@from_carrier
def incoming_call(request: HttpRequest) -> HttpResponse:
    form = _form(request)
    if not _is_a_call(form):
        return _bad(NO_CALL)
    if worker.is_draining:
        return _leave_to_another(request)
    return _twiml(answer_call(incoming=IncomingCall.from_form(form)))


def _leave_to_another(request: HttpRequest) -> HttpResponse:
    """This worker is ending: another takes the call in a second. When none does, the caller hears a sentence."""
    response = _ask_again(request, seconds=1)
    return response if response.status_code == 200 else _twiml(twiml.say_and_hang_up(platform_speech(Spoken.FAILURE)))


def _ask_again(request: HttpRequest, *, seconds: int) -> HttpResponse:
    url = ask_again_url(request.path, request.GET, request.POST) if request.path in TWIML_PATHS else ""
    if not url:
        return HttpResponse("Not available.", status=503, content_type="text/plain")
    return _twiml(twiml.wait_and_ask_again(url=url, seconds=seconds))


def ask_again_url(path: str, query: QueryDict, form: QueryDict) -> str:
    """Return where the carrier is to ask the same once more; empty when it has asked often enough."""
    count = (whole(query.get("attempt"), most=1_000_000) or 0) + 1
    if count > DATABASE_RETRIES:
        return ""
    asked = {name: str(query[name]) for name in (*_OURS, *_SAID_ONCE) if name in query}
    said = {name: str(form[name]) for name in _SAID_ONCE if name in form}
    return webhook_url(path.removeprefix(PREFIX), **{**asked, **said, "attempt": str(count)})


@from_carrier
def call_continue(request: HttpRequest) -> HttpResponse:
    form = _form(request)
    if not _is_a_call(form):
        return _bad(NO_CALL)
    tenant = tenant_of_call(form)
    if tenant is None:
        return _twiml(twiml.say_and_hang_up())
    with entered(tenant):
        call = Call.objects.select_related("line").filter(call_sid=form["CallSid"]).first()
        if call is not None and not tenant.is_active:
            return _twiml(twiml.say_and_hang_up(platform_speech(Spoken.INACTIVE_TENANT)))
        if call is not None and worker.is_draining and needs_a_worker(call, form):
            return _leave_to_another(request)
        if call is not None:
            return _twiml(continue_call(call=call, tenant=tenant, form=form))
    # The number's fallback address: the first request failed before the call was stored.
    return _twiml(answer_call(incoming=IncomingCall.from_form(form)))


@from_carrier
def call_briefing(request: HttpRequest) -> HttpResponse:
    """The person a call is to be put through to has picked up, or pressed a key. The call is named in our own URL."""
    form, sid = _form(request), request.GET.get("call", "")
    if not is_sid(sid):
        return _bad(NO_CALL)
    tenant = tenant_of_call({**form, "CallSid": sid})
    if tenant is None:
        return _twiml(twiml.say_and_hang_up())
    with entered(tenant):
        call = Call.objects.select_related("line", "contact").filter(call_sid=sid).first()
        if call is None:
            return _twiml(twiml.say_and_hang_up())
        if request.GET.get("asked"):
            return _twiml(take_key(call=call, digits=form.get("Digits", "")))
        return _twiml(brief_person(call=call, tenant=tenant))


@from_carrier
def call_status(request: HttpRequest) -> HttpResponse:
    form = _form(request)
    status = form.get("CallStatus", "")
    if not is_sid(form.get("CallSid", "")):
        return _bad(NO_CALL)
    tenant = tenant_of_call(form)
    if tenant is None or status not in CallStatus.values:
        return HttpResponse(status=204)
    duration_s = whole(form.get("CallDuration"))
    with entered(tenant):
        call = Call.objects.filter(call_sid=form["CallSid"]).first()
        if call is not None:
            take_status(call=call, status=CallStatus(status), duration_s=duration_s)
        elif CallStatus(status).is_final and _is_a_call(form):
            remember_ended_call(form=form, status=CallStatus(status), duration_s=duration_s)
    return HttpResponse(status=204)


@from_carrier
def recording_status(request: HttpRequest) -> HttpResponse:
    form = _form(request)
    if not (is_sid(form.get("CallSid", "")) and is_sid(form.get("RecordingSid", ""))):
        return _bad("CallSid or RecordingSid is missing, or no identifier.")
    tenant = tenant_of_call(form)
    if tenant is None:
        return HttpResponse(status=204)
    with entered(tenant):
        call = Call.objects.filter(call_sid=form["CallSid"]).first()
        if call is not None:
            take_recording_status(call=call, form=form)
    return HttpResponse(status=204)


urlpatterns = [
    path("api/webhooks/incoming-call", incoming_call, name="webhook-incoming-call"),
    path("api/webhooks/call-continue", call_continue, name="webhook-call-continue"),
    path("api/webhooks/call-briefing", call_briefing, name="webhook-call-briefing"),
    path("api/webhooks/call-status", call_status, name="webhook-call-status"),
    path("api/webhooks/recording-status", recording_status, name="webhook-recording-status"),
]
