"""Staff: what the installation is doing now, and telephone numbers at the carrier."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.views.decorators import staff_member_required
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from telephony.models import Call
from telephony.services.carrier import carrier
from telephony.services.purchases import attach_owned_number, buy_number
from telephony.twilio.errors import TelephonyError
from telephony.workers import WorkerReport, reports
from tenants.context import entered
from tenants.models import E164, Tenant, User
from tenants.services.numbers import NumberError


@dataclass(frozen=True, slots=True)
class TenantLoad:
    tenant: Tenant
    calls: int
    sockets: int | None  # None: the workers cannot be asked


def tenant_loads(known: list[WorkerReport] | None) -> list[TenantLoad]:
    held = None if known is None else Counter(item.schema for report in known for item in report.sockets)
    loads = []
    for tenant in Tenant.objects.real():
        with entered(tenant):
            calls = Call.objects.open().count()
        sockets = None if held is None else held[tenant.schema_name]
        if calls or sockets:
            loads.append(TenantLoad(tenant, calls, sockets))
    return sorted(loads, key=lambda load: -load.calls)


@require_GET
@staff_member_required
@permission_required("tenants.view_tenant", raise_exception=True)
def live(request: HttpRequest) -> HttpResponse:
    known = reports()
    loads = tenant_loads(known)
    context = {
        **admin.site.each_context(request),
        "title": "Live",
        "loads": loads,
        "workers": known,
        "calls": sum(load.calls for load in loads),
        "sockets": None if known is None else sum(len(report.sockets) for report in known),
    }
    return render(request, "admin/live.html", context)


class NumberSearchForm(forms.Form):
    country = forms.CharField(max_length=2, initial="US")
    area_code = forms.RegexField(r"^\d{2,6}$", required=False, error_messages={"invalid": "Digits only."})
    contains = forms.CharField(max_length=12, required=False, help_text="Digits, letters and * for any.")


class NumberForm(forms.Form):
    number = forms.CharField(max_length=16, validators=[E164])
    tenant = forms.ModelChoiceField(Tenant.objects.none(), label="Organisation")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["tenant"].queryset = Tenant.objects.real()  # type: ignore[attr-defined]


@require_GET
@staff_member_required
@permission_required("tenants.add_phonenumber", raise_exception=True)
def numbers(request: HttpRequest) -> HttpResponse:
    """Search the carrier's offer; nothing is bought by looking."""
    search = NumberSearchForm(request.GET if "country" in request.GET else None)
    offers, fault = [], ""
    if search.is_bound and search.is_valid():
        try:
            offers = carrier().offers(**search.cleaned_data)
        except TelephonyError as error:
            fault = f"The carrier did not answer the search: {error}"
    context = {
        **admin.site.each_context(request),
        "title": "Numbers at the carrier",
        "search": search,
        "offers": offers,
        "fault": fault,
        "attach": NumberForm(),
        "tenants": Tenant.objects.real(),
    }
    return render(request, "admin/numbers.html", context)


@require_POST
@staff_member_required
@permission_required("tenants.add_phonenumber", raise_exception=True)
def number_buy(request: HttpRequest) -> HttpResponse:
    return _take_number(request, buy_number, "bought")


@require_POST
@staff_member_required
@permission_required("tenants.add_phonenumber", raise_exception=True)
def number_attach(request: HttpRequest) -> HttpResponse:
    return _take_number(request, attach_owned_number, "attached")


def _take_number(request: HttpRequest, take: Any, done: str) -> HttpResponse:
    form = NumberForm(request.POST)
    if not form.is_valid():
        messages.error(request, "; ".join(str(text) for errors in form.errors.values() for text in errors))
        return redirect("staff-numbers")
    actor = request.user if isinstance(request.user, User) else None
    try:
        row = take(**form.cleaned_data, actor=actor)
    except (NumberError, TelephonyError) as error:
        messages.error(request, f"The number was not {done}: {error}")
        return redirect("staff-numbers")
    messages.success(request, f"{row.number} is {done}, and answered for {row.tenant.name}.")
    return redirect("admin:tenants_phonenumber_changelist")
