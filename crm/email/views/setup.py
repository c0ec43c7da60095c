from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.http import require_http_methods

from crm.email.forms.setup import EmailSettingsForm
from crm.email.models.setup import email_settings
from crm.email.selectors.sending import way_of_sending
from crm.email.services.senders import sender
from tenants.access import MemberRequest, manager_required
from tenants.audit import record_request
from tenants.enums import AuditAction


@require_http_methods(["GET", "POST"])
@manager_required
def email_setup(request: MemberRequest) -> HttpResponse:
    form = EmailSettingsForm(request.POST or None, instance=email_settings())
    if request.method == "POST" and form.is_valid():
        form.save()
        record_request(request, AuditAction.SETTINGS_CHANGED, target="e-mail")
        messages.success(request, "Saved. What is sent from now on follows it; what has been started stays as it is.")
        return redirect("email:setup")
    context = {"form": form, "sender": sender(), "way": way_of_sending(settings.ENV)}
    return render(request, "crm/email/setup.html", context, status=422 if form.errors else 200)


urlpatterns = [path("settings/email/", email_setup, name="setup")]
