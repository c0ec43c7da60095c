"""Is this process alive, is everything it needs there, and what does it do?"""

from __future__ import annotations

import time
from collections.abc import Callable

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from telephony.engines.registry import is_configured
from telephony.enums import EngineName
from telephony.services.carrier import outage
from telephony.transcripts.entries import STREAM
from telephony.workers import reports, worker
from tenants.context import in_public
from thanos.redis import sync_client


def alive(request: HttpRequest) -> HttpResponse:
    """200 while this process takes calls; 503 once it has been told to stop."""
    if worker.is_draining:
        return HttpResponse("draining", status=503, content_type="text/plain")
    return HttpResponse("ok", content_type="text/plain")


def _database() -> str:
    with in_public(), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return "ok"


def _redis() -> str:
    sync_client().ping()
    return "ok"


def _background() -> str:
    from thanos.celery import app

    queues = app.control.inspect(timeout=1.0).ping()
    return "ok" if queues else "no worker answers"


def _voice_agent() -> str:
    return "ok" if is_configured(EngineName.VOICE_AGENT) else "not configured: set DEEPGRAM_API_KEY"


def _carrier() -> str:
    env = settings.ENV
    return (
        "ok"
        if env.twilio_account_sid and env.twilio_auth_token
        else "not configured: set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN"
    )


DEPENDENCIES: dict[str, Callable[[], str]] = {
    "postgresql": _database,
    "redis": _redis,
    "workers": _background,
    "voice_agent": _voice_agent,
    "carrier": _carrier,
}
# Without these no call can be answered.
ESSENTIAL = ("postgresql", "voice_agent")


def detailed(request: HttpRequest) -> HttpResponse:
    """Every dependency with its state and the milliseconds it took to ask; 503 when a call could not be answered."""
    found: dict[str, dict[str, object]] = {}
    for name, check in DEPENDENCIES.items():
        begun = time.perf_counter()
        try:
            state = check()
        except Exception as error:  # the page exists to tell of any failure whatever
            state = f"failed: {type(error).__name__}"
        found[name] = {"state": state, "ms": round((time.perf_counter() - begun) * 1000, 1)}
    sandboxed = settings.ENV.sandboxed_providers
    body = {"draining": worker.is_draining, "dependencies": found, "sandboxed_providers": sandboxed}
    healthy = all(found[name]["state"] == "ok" for name in ESSENTIAL)
    return JsonResponse(body, status=200 if healthy else 503)


def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus. What cannot be known at the moment is left out, not zero."""
    registry = CollectorRegistry()
    known = reports()
    if known is not None:
        sockets = Gauge("thanos_media_sockets", "Open media sockets.", ["worker"], registry=registry)
        for report in known:
            sockets.labels(report.name).set(len(report.sockets))
        pending = Gauge("thanos_transcript_entries_waiting", "Entries not yet in the database.", registry=registry)
        pending.set(sync_client().xlen(STREAM))  # type: ignore[arg-type]
        unasked = Gauge("thanos_carrier_api_failing", "Failed questions to the carrier in a row.", registry=registry)
        away = outage()
        unasked.set(away.count if away else 0)
    Gauge("thanos_draining", "1 while this process finishes its calls.", registry=registry).set(worker.is_draining)
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
