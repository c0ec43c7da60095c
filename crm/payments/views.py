from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from billing.stripe.client import StripeError
from crm.email.models import EmailTemplate
from crm.models import Contact
from crm.payments.forms import ConnectForm, LinkForm
from crm.payments.selectors import standing_of
from crm.payments.services import connecting, mirroring
from crm.payments.services.connecting import PaymentsError
from tenants.access import MemberRequest, manager_required

REMINDER = "invoice-reminder"


def _find(contact_id: int) -> Contact:
    return get_object_or_404(Contact.objects.live(), pk=contact_id)


def _try(request: MemberRequest, work: Callable[[], object], done: str) -> None:
    try:
        work()
    except (PaymentsError, StripeError) as error:
        messages.error(request, str(error))
    else:
        messages.success(request, done)


@require_http_methods(["GET", "POST"])
@manager_required
def connect(request: MemberRequest) -> HttpResponse:
    form = ConnectForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            connecting.connect(**form.cleaned_data, by=request.user)
        except PaymentsError as error:
            form.add_error("secret_key", str(error))
        else:
            messages.success(request, "Connected. Contacts can be linked to their customers now.")
            return redirect("payments:connect")
    found = connecting.connection()
    context = {"form": form, "connection": found, "address": connecting.webhook_address(found) if found else ""}
    return render(request, "crm/payments/connect.html", context, status=422 if form.errors else 200)


@require_POST
@manager_required
def disconnect(request: MemberRequest) -> HttpResponse:
    connecting.disconnect(by=request.user)
    messages.success(request, "Disconnected. What was read of your customers is forgotten here.")
    return redirect("payments:connect")


@require_GET
@manager_required
def contact(request: MemberRequest, contact_id: int) -> HttpResponse:
    found = _find(contact_id)
    standing = standing_of(found)
    offered = []
    if standing.is_connected and standing.customer is None:
        try:
            offered = mirroring.candidates(contact=found)
        except StripeError as error:
            messages.error(request, str(error))
    reminder = EmailTemplate.objects.filter(key=REMINDER, is_active=True, deleted_at=None).first()
    context = {"contact": found, "standing": standing, "offered": offered, "form": LinkForm(), "reminder": reminder}
    return render(request, "crm/payments/contact.html", context)


@require_POST
@manager_required
def link(request: MemberRequest, contact_id: int) -> HttpResponse:
    found, form = _find(contact_id), LinkForm(request.POST)
    if form.is_valid():
        stripe_id = form.cleaned_data["stripe_id"]
        _try(request, lambda: mirroring.link(contact=found, stripe_id=stripe_id), "Linked.")
    else:
        messages.error(request, " ".join(map(str, form.errors["stripe_id"])))
    return redirect("payments:contact", found.pk)


@require_POST
@manager_required
def create(request: MemberRequest, contact_id: int) -> HttpResponse:
    found = _find(contact_id)
    _try(request, lambda: mirroring.create(contact=found), "A customer at Stripe now.")
    return redirect("payments:contact", found.pk)


@require_POST
@manager_required
def unlink(request: MemberRequest, contact_id: int) -> HttpResponse:
    found = _find(contact_id)
    mirroring.unlink(contact=found)
    messages.success(request, "No longer linked. At Stripe nothing has changed.")
    return redirect("payments:contact", found.pk)


@require_POST
@manager_required
def refresh(request: MemberRequest, contact_id: int) -> HttpResponse:
    found = _find(contact_id)
    standing = standing_of(found)
    if standing.customer is not None:
        stripe_id = standing.customer.stripe_id
        _try(request, lambda: mirroring.sync_customer(stripe_id=stripe_id), "Read again.")
    return redirect("payments:contact", found.pk)
