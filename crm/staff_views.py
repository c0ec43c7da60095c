"""Staff: how much each organisation keeps, and what its background work is doing. No contact is shown."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib import admin
from django.contrib.admin.views.decorators import staff_member_required
from django.contrib.auth.decorators import permission_required
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from crm.enums import JobState
from crm.hooks.models import WebhookEndpoint
from crm.models import Contact, ContactJob, Tally
from tenants.context import entered
from tenants.models import Tenant


@dataclass(frozen=True, slots=True)
class TenantContacts:
    tenant: Tenant
    contacts: int
    interactions: int
    in_the_bin: int
    running_jobs: int
    paused_webhooks: int


def tenant_contacts() -> list[TenantContacts]:
    found = []
    for tenant in Tenant.objects.real():
        with entered(tenant):
            totals = dict(Tally.objects.values_list("metric").annotate(n=Sum("count")))
            running = ContactJob.objects.filter(state__in=(JobState.QUEUED, JobState.RUNNING, JobState.UNDOING))
            row = TenantContacts(
                tenant=tenant,
                contacts=totals.get("contacts", 0),
                interactions=totals.get("interactions", 0),
                in_the_bin=Contact.objects.filter(deleted_at__isnull=False).count(),
                running_jobs=running.count(),
                paused_webhooks=WebhookEndpoint.objects.filter(paused_at__isnull=False).count(),
            )
        found.append(row)
    return sorted(found, key=lambda row: -row.contacts)


@require_GET
@staff_member_required
@permission_required("tenants.view_tenant", raise_exception=True)
def contacts(request: HttpRequest) -> HttpResponse:
    context = {**admin.site.each_context(request), "title": "Contacts", "rows": tenant_contacts()}
    return render(request, "admin/contacts.html", context)
