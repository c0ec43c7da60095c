from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import URLPattern, path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import HttpResponseClientRedirect

from crm.email.forms.domains import DomainForm
from crm.email.models import EmailDomain
from crm.email.selectors.domains import domain_page, domain_view, used_domain_id
from crm.email.services import domains as services
from crm.email.services.domains import DomainError
from tenants.access import MemberRequest, manager_required


@require_GET
@manager_required
def domain_list(request: MemberRequest) -> HttpResponse:
    return render(request, "crm/email/domains/list.html", {"shown": domain_page()})


@require_http_methods(["GET", "POST"])
@manager_required
def domain_create(request: MemberRequest) -> HttpResponse:
    form = DomainForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            return redirect(services.create_domain(**form.cleaned_data, by=request.user))
        except DomainError as error:
            form.add_error(error.field, str(error))
    context = {"form": form, "shown": domain_page()}
    return render(request, "crm/email/domains/create.html", context, status=422 if form.errors else 200)


@require_GET
@never_cache
@manager_required
def domain_detail(request: MemberRequest, domain_id: int) -> HttpResponse:
    """The page; for htmx what changes by itself: the state, and after another look the records too."""
    domain = EmailDomain.objects.filter(pk=domain_id).first()
    if domain is None and request.htmx:
        return HttpResponseClientRedirect(reverse("email:domain-list"))  # watched until it was gone
    found = domain or get_object_or_404(EmailDomain, pk=domain_id)
    shown = domain_view(found, used=used_domain_id())
    context = {"shown": shown, "domain": found, "has_new_records": request.GET.get("stamp") != shown.stamp}
    return render(request, f"crm/email/domains/{'_changes' if request.htmx else 'detail'}.html", context)


@require_POST
@manager_required
def domain_check(request: MemberRequest, domain_id: int) -> HttpResponse:
    domain = get_object_or_404(EmailDomain, pk=domain_id)
    try:
        services.check_now(domain=domain, by=request.user)
    except DomainError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, "It is being looked at. What is found appears here.")
    return redirect(domain)


@require_POST
@manager_required
def domain_remove(request: MemberRequest, domain_id: int) -> HttpResponse:
    domain = get_object_or_404(EmailDomain, pk=domain_id)
    services.remove_domain(domain=domain, by=request.user)
    messages.success(request, "No e-mail is sent from it any more. It is being taken away at SendGrid too.")
    return redirect("email:domain-list")


urlpatterns: list[URLPattern] = [
    path("settings/email/domains/", domain_list, name="domain-list"),
    path("settings/email/domains/new/", domain_create, name="domain-create"),
    path("settings/email/domains/<int:domain_id>/", domain_detail, name="domain"),
    path("settings/email/domains/<int:domain_id>/check/", domain_check, name="domain-check"),
    path("settings/email/domains/<int:domain_id>/remove/", domain_remove, name="domain-remove"),
]
