from __future__ import annotations

from dataclasses import replace

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from crm.filters import clean_query
from crm.forms.filters import FilterForm
from crm.selectors.board import columns
from crm.selectors.contacts import filter_contacts
from crm.views.contacts import list_context, with_address
from tenants.access import MemberRequest, manager_required


@require_GET
@manager_required
def contact_board(request: MemberRequest) -> HttpResponse:
    chosen, context = list_context(request)
    chosen = replace(chosen, statuses=())  # every column is one
    context["form"] = FilterForm(request.GET, tenant=request.tenant, with_status=False)
    context["plain_query"] = clean_query(request.GET, drop=("cursor", "layout", "status", "sort"))
    context["columns"] = columns(filter_contacts(chosen, tenant=request.tenant, user=request.user))
    context["layout"] = "board"
    if request.htmx:
        return with_address(request, render(request, "crm/_board.html", context))
    return render(request, "crm/contact_board.html", context)
