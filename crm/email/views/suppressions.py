from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.utils.http import urlencode
from django.views.decorators.http import require_GET, require_POST

from crm.email.forms.setup import SuppressionForm
from crm.email.models import Suppression
from crm.email.selectors.suppressions import suppression_page
from crm.email.services.suppressing import lift, suppress
from tenants.access import MemberRequest, manager_required


@require_GET
@manager_required
def suppression_list(request: MemberRequest) -> HttpResponse:
    return _list(request, SuppressionForm())


def _list(request: MemberRequest, form: SuppressionForm, *, status: int = 200) -> HttpResponse:
    reason, address = request.GET.get("reason", ""), request.GET.get("address", "")
    found = suppression_page(reason=reason, address=address, page=request.GET.get("page"))
    carry = urlencode({name: value for name, value in (("reason", found.chosen), ("address", address)) if value})
    context = {"list": found, "form": form, "address": address, "carry": carry}
    return render(request, "crm/email/suppression_list.html", context, status=status)


@require_POST
@manager_required
def suppression_add(request: MemberRequest) -> HttpResponse:
    form = SuppressionForm(request.POST)
    if not form.is_valid():
        return _list(request, form, status=422)
    if suppress(**form.cleaned_data, by=request.user):
        messages.success(request, "On the list. Nobody here writes to this address any more.")
    else:
        messages.info(request, "This address is on the list already.")
    return redirect("email:suppression-list")


@require_POST
@manager_required
def suppression_lift(request: MemberRequest, suppression_id: int) -> HttpResponse:
    suppression = get_object_or_404(Suppression, pk=suppression_id)
    if lift(suppression=suppression, by=request.user):
        text = "Off the list. This address can be written to again, unless another reason stands."
        messages.success(request, text, extra_tags=f"suppress:{suppression.pk}")
    else:
        messages.info(request, "It had been taken off the list already.")
    return redirect("email:suppression-list")


@require_POST
@manager_required
def suppression_return(request: MemberRequest, suppression_id: int) -> HttpResponse:
    """Put back what was lifted."""
    lifted = get_object_or_404(Suppression, pk=suppression_id)
    is_back = suppress(
        address=lifted.email, reason=lifted.reason, message=lifted.message, detail=lifted.detail, by=request.user
    )
    if is_back:
        messages.success(request, "Back on the list.")
    else:
        messages.info(request, "This address is on the list already.")
    return redirect("email:suppression-list")


urlpatterns = [
    path("settings/email/suppressions/", suppression_list, name="suppression-list"),
    path("settings/email/suppressions/add/", suppression_add, name="suppression-add"),
    path("settings/email/suppressions/<int:suppression_id>/lift/", suppression_lift, name="suppression-lift"),
    path("settings/email/suppressions/<int:suppression_id>/return/", suppression_return, name="suppression-return"),
]
