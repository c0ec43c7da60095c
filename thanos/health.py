"""Is this process alive, is everything it needs there, and what does it do?

`/health` asks nobody and tells nothing: it is for everybody. The other two tell what strangers have no business with, so
they want a token, or an address of this machine's. What they tell is looked up once for all who ask within some seconds,
one look at a time, and never by asking another process for an answer.
"""

from __future__ import annotations

import hmac
import threading
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from redis.exceptions import RedisError

from telephony.engines.registry import is_configured
from telephony.enums import EngineName
from telephony.services.carrier import outage
from telephony.transcripts.entries import STREAM
from telephony.workers import reports, worker
from tenants.context import in_public
from tenants.middleware import host_name
from tenants.services.database import LOCAL_HOSTS
from thanos.heartbeat import workers
from thanos.pool import watch
from thanos.redis import sync_client

KEEP_S = 3.0  # an answer, for whoever asks next
FIRST_S = 3.0  # how long others wait for the first one
FORWARDING = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Via")


@require_safe
def alive(request: HttpRequest) -> HttpResponse:
    """200 while this process takes calls; 503 once it has been told to stop, or can get no connection any more."""
    if worker.is_draining:
        return _plain("draining", 503)
    if watch.is_stuck:
        return _plain("stuck: no connection to the database is free", 503)
    return _plain("ok", 200)


def _plain(text: str, status: int) -> HttpResponse:
    return HttpResponse(text, status=status, content_type="text/plain", headers={"Cache-Control": "no-store"})


# --- who may look -----------------------------------------------------------------------------------------------------


def _may_look(request: HttpRequest, token: str) -> bool:
    scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
    if token and scheme.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), token.encode()):
        return True
    return _is_near(request)


def _is_near(request: HttpRequest) -> bool:
    """Does the request come straight from a configured network? Behind a proxy everybody has the proxy's address.

    A proxy gives itself away by what it adds; one on this machine also by asking for a name that is not this machine's.
    """
    if any(name in request.headers for name in FORWARDING):
        return False
    address = _address(request.META.get("REMOTE_ADDR", ""))
    if address is None:
        return False
    if address.is_loopback and urlsplit(settings.PUBLIC_URL).hostname not in LOCAL_HOSTS:
        asked = host_name(request.headers.get("Host", ""))
        if asked not in LOCAL_HOSTS and _address(asked) is None:
            return False
    return any(address in ip_network(network) for network in settings.ENV.health_networks)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _refusal(variable: str) -> HttpResponse:
    text = f"Ask from this machine, or send the header Authorization: Bearer, with {variable}."
    response = _plain(text, 401)
    response["WWW-Authenticate"] = "Bearer"
    return response


# --- what is told -----------------------------------------------------------------------------------------------------


class Kept:
    """The last answer to a question, asked anew at most once at a time, and not before the last one is `KEEP_S` old."""

    def __init__(self, ask: Callable[[], Any]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._answer: Any = None
        self._at = float("-inf")

    def get(self) -> Any:
        """Return the answer; None when the very first one takes too long."""
        wait_s = 0.0 if self._answer is not None else FIRST_S
        if self._is_old() and self._lock.acquire(blocking=bool(wait_s), timeout=wait_s or -1):
            try:
                if self._is_old():  # nobody was quicker
                    self._answer, self._at = self._ask(), time.monotonic()
            finally:
                self._lock.release()
        return self._answer

    def _is_old(self) -> bool:
        return time.monotonic() - self._at >= KEEP_S

    def forget(self) -> None:
        self._answer, self._at = None, float("-inf")


def _database() -> str:
    with in_public(), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return "ok"


def _redis() -> str:
    sync_client().ping()
    return "ok"


def _background() -> str:
    return "ok" if workers() else "no worker answers"


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


def _look() -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    for name, check in DEPENDENCIES.items():
        begun = time.perf_counter()
        try:
            state = check()
        except Exception as error:  # the page exists to tell of any failure whatever
            state = f"failed: {type(error).__name__}"
        found[name] = {"state": state, "ms": round((time.perf_counter() - begun) * 1000, 1)}
        if name == "postgresql":
            _release()  # what is asked next must not be waited for with a connection in hand
    return found


def _release() -> None:
    if not connection.in_atomic_block:
        connection.close()


looked = Kept(_look)


@require_safe
def detailed(request: HttpRequest) -> HttpResponse:
    """Every dependency with its state and the milliseconds it took to ask; 503 when a call could not be answered."""
    if not _may_look(request, settings.ENV.health_token):
        return _refusal("HEALTH_TOKEN")
    found = looked.get()
    if found is None:
        return _plain("The first look is still going on. Ask again in a second.", 503)
    sandboxed = settings.ENV.sandboxed_providers
    body = {"draining": worker.is_draining, "dependencies": found, "sandboxed_providers": sandboxed}
    healthy = all(found[name]["state"] == "ok" for name in ESSENTIAL) and not watch.is_stuck
    return JsonResponse(body, status=200 if healthy else 503, headers={"Cache-Control": "no-store"})


def _measure() -> bytes:
    registry = CollectorRegistry()
    known = reports()
    try:
        waiting, living = sync_client().xlen(STREAM), len(workers())
    except RedisError:
        known = None
    if known is not None:
        sockets = Gauge("thanos_media_sockets", "Open media sockets.", ["worker"], registry=registry)
        for report in known:
            sockets.labels(report.name).set(len(report.sockets))
        pending = Gauge("thanos_transcript_entries_waiting", "Entries not yet in the database.", registry=registry)
        pending.set(waiting)  # type: ignore[arg-type]
        Gauge("thanos_background_workers", "Background workers that live.", registry=registry).set(living)
        unasked = Gauge("thanos_carrier_api_failing", "Failed questions to the carrier in a row.", registry=registry)
        away = outage()
        unasked.set(away.count if away else 0)
    Gauge("thanos_draining", "1 while this process finishes its calls.", registry=registry).set(worker.is_draining)
    stuck = Gauge("thanos_stuck", "1 while this process can get no connection to the database.", registry=registry)
    stuck.set(watch.is_stuck)
    return generate_latest(registry)


measured = Kept(_measure)


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus. What cannot be known at the moment is left out, not zero."""
    if not _may_look(request, settings.ENV.metrics_token):
        return _refusal("METRICS_TOKEN")
    found = measured.get()
    if found is None:
        return _plain("The first look is still going on. Ask again in a second.", 503)
    return HttpResponse(found, content_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"})
