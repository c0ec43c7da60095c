from __future__ import annotations

import json
from uuid import UUID

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from crm.hooks import selectors
from crm.hooks.enums import PauseReason
from crm.hooks.forms import EndpointForm
from crm.hooks.models import WebhookDelivery, WebhookEndpoint
from crm.hooks.services import endpoints as services
from crm.hooks.services.endpoints import HookError
from crm.hooks.services.pausing import pause_endpoint, resume_endpoint
from crm.hooks.signing import VERIFICATION_SNIPPET
from tenants.access import MemberRequest, manager_required

# Whose secret this session may see, once. The secret itself is never in the session.
_TO_SHOW = "webhook_secret_to_show"


def _find(endpoint_id: UUID) -> WebhookEndpoint:
    endpoint: WebhookEndpoint = get_object_or_404(WebhookEndpoint.objects.kept(), pk=endpoint_id)
    return endpoint


@require_GET
@manager_required
def endpoint_list(request: MemberRequest) -> HttpResponse:
    return render(request, "crm/hooks/endpoint_list.html", {"endpoints": selectors.endpoints()})


@require_http_methods(["GET", "POST"])
@manager_required
def endpoint_new(request: MemberRequest) -> HttpResponse:
    form = EndpointForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            endpoint = services.create_endpoint(**form.cleaned_data, actor=request.user)
        except HookError as error:
            form.add_error(error.field, str(error))
        else:
            request.session[_TO_SHOW] = str(endpoint.pk)
            return redirect(endpoint)
    return render(request, "crm/hooks/endpoint_form.html", {"form": form}, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@manager_required
def endpoint_edit(request: MemberRequest, endpoint_id: UUID) -> HttpResponse:
    endpoint = _find(endpoint_id)
    form = EndpointForm.for_endpoint(endpoint, request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            services.change_endpoint(endpoint=endpoint, **form.cleaned_data, actor=request.user)
        except HookError as error:
            form.add_error(error.field, str(error))
        else:
            messages.success(request, "Saved. The next event uses it.")
            return redirect(endpoint)
    context = {"form": form, "endpoint": endpoint}
    return render(request, "crm/hooks/endpoint_form.html", context, status=422 if form.errors else 200)


@require_GET
@never_cache
@manager_required
def endpoint_detail(request: MemberRequest, endpoint_id: UUID) -> HttpResponse:
    endpoint = _find(endpoint_id)
    shown = request.session.get(_TO_SHOW) == str(endpoint.pk)
    if shown:
        del request.session[_TO_SHOW]
    context = {
        "endpoint": endpoint,
        "secret": endpoint.secret if shown else "",
        "log": selectors.delivery_log(endpoint, state=request.GET.get("state", ""), page=request.GET.get("page")),
        "snippet": VERIFICATION_SNIPPET,
    }
    return render(request, "crm/hooks/endpoint_detail.html", context)


@require_POST
@manager_required
def endpoint_pause(request: MemberRequest, endpoint_id: UUID) -> HttpResponse:
    endpoint = _find(endpoint_id)
    pause_endpoint(endpoint=endpoint, reason=PauseReason.BY_HAND, actor=request.user)
    messages.success(request, "Paused. Events of the next three days wait until you resume.")
    return redirect(endpoint)


@require_POST
@manager_required
def endpoint_resume(request: MemberRequest, endpoint_id: UUID) -> HttpResponse:
    endpoint = _find(endpoint_id)
    resume_endpoint(endpoint=endpoint, actor=request.user)
    messages.success(request, "Resumed. What was waiting is being sent.")
    return redirect(endpoint)


@require_POST
@manager_required
def endpoint_test(request: MemberRequest, endpoint_id: UUID) -> HttpResponse:
    endpoint = _find(endpoint_id)
    try:
        return redirect(services.send_test(endpoint=endpoint))
    except HookError as error:
        messages.error(request, str(error))
    return redirect(endpoint)


@require_POST
@manager_required
def endpoint_roll(request: MemberRequest, endpoint_id: UUID) -> HttpResponse:
    endpoint = _find(endpoint_id)
    services.roll_secret(endpoint=endpoint, actor=request.user)
    request.session[_TO_SHOW] = str(endpoint.pk)
    messages.success(request, "There is a new secret. The one before stays valid for 24 hours.")
    return redirect(endpoint)


@require_POST
@manager_required
def endpoint_delete(request: MemberRequest, endpoint_id: UUID) -> HttpResponse:
    services.delete_endpoint(endpoint=_find(endpoint_id), actor=request.user)
    messages.success(request, "Deleted. Nothing is sent there any more.")
    return redirect("hooks:endpoint-list")


@require_POST
@manager_required
def endpoint_resend(request: MemberRequest, endpoint_id: UUID) -> HttpResponse:
    """Everything that failed."""
    endpoint = _find(endpoint_id)
    try:
        count = services.resend_failed(endpoint=endpoint)
    except HookError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"Deliveries waiting to be sent again: {count}.")
    return redirect(endpoint)


@require_GET
@never_cache
@manager_required
def delivery_detail(request: MemberRequest, endpoint_id: UUID, delivery_id: UUID) -> HttpResponse:
    delivery = get_object_or_404(WebhookDelivery, pk=delivery_id, endpoint=_find(endpoint_id))
    context = {
        "delivery": delivery,
        "endpoint": delivery.endpoint,
        "body": json.dumps(json.loads(delivery.body()), indent=2, ensure_ascii=False),
        "attempts": delivery.log.all(),
    }
    return render(request, "crm/hooks/_delivery.html" if request.htmx else "crm/hooks/delivery_detail.html", context)


@require_POST
@manager_required
def delivery_resend(request: MemberRequest, endpoint_id: UUID, delivery_id: UUID) -> HttpResponse:
    delivery = get_object_or_404(WebhookDelivery, pk=delivery_id, endpoint=_find(endpoint_id))
    try:
        is_sent = services.resend_delivery(delivery=delivery)
    except HookError as error:
        messages.error(request, str(error))
    else:
        waits = (
            "It is sent as soon as the webhook is resumed." if delivery.endpoint.is_paused else "It is being sent again."
        )
        messages.success(request, waits if is_sent else "It is being sent at this very moment.")
    return redirect(delivery)
