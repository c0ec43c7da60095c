"""News of organisations' own Stripe accounts: the address names the organisation, the signature proves the sender."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing.services.events import keep_event
from billing.webhooks import read_signed
from crm.payments.models import StripeConnection
from crm.payments.services.connecting import connection_with
from tenants.celery import publish
from tenants.context import NoTenantError, entered, find_tenant


@csrf_exempt
@require_POST
def customer_events(request: HttpRequest, token: str) -> HttpResponse:
    """403 for whatever is wrong: an address that is nobody's says no more than a signature that does not fit."""
    from crm.payments.tasks import apply_events

    schema, _, secret = token.partition(".")
    refused = HttpResponse("The signature does not fit.", status=403, content_type="text/plain")
    try:
        tenant = find_tenant(schema)
    except NoTenantError:
        return refused
    with entered(tenant):
        found = connection_with(secret)
        if found is None or not found.webhook_secret or not tenant.is_active:
            return refused
        body = read_signed(request, [found.webhook_secret])
        if isinstance(body, HttpResponse):
            return body
        try:
            is_new = keep_event(body, scope=tenant.schema_name)
        except ValueError:
            return HttpResponse("This is not an event.", status=400, content_type="text/plain")
        StripeConnection.objects.filter(pk=found.pk).update(event_at=timezone.now())
        if is_new:
            publish(apply_events)
    return HttpResponse(status=200)


urlpatterns = [path("api/webhooks/stripe/<str:token>", customer_events, name="webhook-stripe-customers")]
