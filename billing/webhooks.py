"""Stripe's webhook: signature first, then the event is kept; what follows from it is done later, by a task."""

from __future__ import annotations

import json

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing.services.events import keep_event
from billing.stripe.signatures import is_signed
from tenants.celery import publish
from tenants.context import in_public

MAX_BYTES = 1_000_000


@csrf_exempt
@require_POST
def stripe_events(request: HttpRequest) -> HttpResponse:
    """403 without a valid signature; 200 as soon as the event is kept, which it is once however often it comes."""
    from billing.tasks import apply_events

    body = read_signed(request, settings.ENV.stripe_webhook_secret)
    if isinstance(body, HttpResponse):
        return body
    with in_public():
        try:
            is_new = keep_event(body)
        except ValueError:
            return HttpResponse("This is not an event.", status=400, content_type="text/plain")
        if is_new:
            publish(apply_events)
    return HttpResponse(status=200)


def read_signed(request: HttpRequest, secrets: list[str]) -> dict[str, object] | HttpResponse:
    """Return the body of a request that one of the secrets has signed, or the answer for one that none has."""
    if int(request.headers.get("Content-Length") or 0) > MAX_BYTES:
        return HttpResponse(status=413)
    if not is_signed(request.body, request.headers.get("Stripe-Signature"), secrets):
        return HttpResponse("The signature does not fit.", status=403, content_type="text/plain")
    try:
        body = json.loads(request.body)
    except ValueError:
        return HttpResponse("This is not JSON.", status=400, content_type="text/plain")
    return body if isinstance(body, dict) else HttpResponse("This is not an event.", status=400, content_type="text/plain")


urlpatterns = [path("api/webhooks/stripe", stripe_events, name="webhook-stripe")]
