"""Changes to many contacts, what became of them, and two contacts that are one."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from crm.contactfields import split_tags
from crm.enums import JobKind
from crm.filters import MAX_IDS, clean_query
from crm.models import Contact, ContactJob, MergeRecord
from crm.selectors.contacts import FilterError
from crm.selectors.people import people_of
from crm.services.jobs import JobError, cancel_job, start_job, undo_job
from crm.services.merging import MergeError, choices, merge_contacts, undo_merge
from tenants.access import MemberRequest, manager_required
from tenants.audit import record_request
from tenants.enums import AuditAction

MAX_CHOSEN = MAX_IDS


@require_POST
@manager_required
def job_start(request: MemberRequest) -> HttpResponse:
    ids = _ids(request.POST.getlist("contact"))
    action = request.POST.get("action", "")
    if action == "merge":
        return _merge_chosen(request, ids)
    if action == "export":
        return _lead_on(request, ids, reverse("imports:export"), "format=csv&{query}")
    if action == "enrol":
        return _lead_on(request, ids, reverse("email:sequence-choose"), "query={quoted}")
    if action not in JobKind.values:
        messages.error(request, "Choose what to do with them.")
        return redirect("crm:contact-list")
    everything = request.POST.get("all") == "yes"
    query = clean_query(QueryDict(request.POST.get("query", "")))
    try:
        job = start_job(
            kind=JobKind(action),
            parameters=_parameters(request, JobKind(action)),
            ids=None if everything else ids,
            query=query,
            user=request.user,
        )
    except (JobError, FilterError) as error:
        messages.error(request, str(error))
        return redirect("crm:contact-list")
    audit = AuditAction.CONTACTS_DELETED if action == JobKind.DELETE else AuditAction.CONTACTS_CHANGED
    record_request(request, audit, target=f"job {job.pk}: {job.get_kind_display()}")
    return redirect(job)


def _ids(texts: list[str]) -> list[int]:
    return [int(text) for text in texts[:MAX_CHOSEN] if text.isascii() and text.isdigit() and len(text) < 19]


def _parameters(request: MemberRequest, kind: JobKind) -> dict[str, Any]:
    match kind:
        case JobKind.SET_STATUS:
            return {"status": request.POST.get("status", "")}
        case JobKind.SET_OWNER:
            wanted = request.POST.get("owner", "")
            known = {str(user.pk): user.pk for user in people_of(request.tenant)}
            if wanted and wanted not in known:
                raise JobError("Choose somebody who manages contacts here.")
            return {"owner": known.get(wanted)}
        case JobKind.ADD_TAGS | JobKind.REMOVE_TAGS:
            return {"tags": split_tags(request.POST.get("tags", ""))}
    return {}


def _lead_on(request: MemberRequest, ids: list[int], address: str, parameters: str) -> HttpResponse:
    """Go on to a page for the chosen contacts, or for all that the list shows."""
    query = clean_query(QueryDict(request.POST.get("query", "")))
    if request.POST.get("all") != "yes":
        if not ids:
            messages.error(request, "Choose at least one contact.")
            return redirect("crm:contact-list")
        query = urlencode({"id": ids}, doseq=True)
    return redirect(f"{address}?{parameters.format(query=query, quoted=quote(query))}".rstrip("&"))


def _merge_chosen(request: MemberRequest, ids: list[int]) -> HttpResponse:
    if len(ids) != 2:
        messages.error(request, "Choose the two contacts that are one.")
        return redirect("crm:contact-list")
    return redirect("crm:contact-merge", *ids)


@require_GET
@manager_required
def job_detail(request: MemberRequest, job_id: int) -> HttpResponse:
    job = get_object_or_404(ContactJob, pk=job_id)
    template = "crm/_job.html" if request.htmx else "crm/job.html"
    return render(request, template, {"job": job})


@require_POST
@manager_required
def job_cancel(request: MemberRequest, job_id: int) -> HttpResponse:
    job = get_object_or_404(ContactJob, pk=job_id)
    if not cancel_job(job=job):
        messages.error(request, "It is over already.")
    return redirect(job)


@require_POST
@manager_required
def job_undo(request: MemberRequest, job_id: int) -> HttpResponse:
    job = get_object_or_404(ContactJob, pk=job_id)
    if undo_job(job=job):
        record_request(request, AuditAction.CONTACTS_CHANGED, target=f"job {job.pk}: taken back")
    return redirect(job)


@require_http_methods(["GET", "POST"])
@manager_required
def contact_merge(request: MemberRequest, kept_id: int, merged_id: int) -> HttpResponse:
    kept = get_object_or_404(Contact.objects.live().select_related("owner"), pk=kept_id)
    merged = get_object_or_404(Contact.objects.live().select_related("owner"), pk=merged_id)
    if request.method == "POST":
        take = {name.removeprefix("take_"): str(value) for name, value in request.POST.items() if name.startswith("take_")}
        try:
            record = merge_contacts(kept=kept, merged=merged, take=take, by=request.user)
        except MergeError as error:
            messages.error(request, str(error))
            return redirect("crm:contact-merge", kept_id, merged_id)
        record_request(request, AuditAction.CONTACTS_MERGED, target=f"contact {merged_id} into {kept_id}")
        messages.success(request, "They are one contact now.", extra_tags=f"unmerge:{record.pk}")
        return redirect(kept)
    return render(request, "crm/contact_merge.html", {"kept": kept, "merged": merged, "choices": choices(kept, merged)})


@require_POST
@manager_required
def merge_undo(request: MemberRequest, record_id: int) -> HttpResponse:
    record = get_object_or_404(MergeRecord.objects.select_related("kept"), pk=record_id)
    try:
        left = undo_merge(record=record)
    except MergeError as error:
        messages.error(request, str(error))
    else:
        record_request(request, AuditAction.CONTACTS_MERGED, target=f"contact {record.merged_id} out of {record.kept_id}")
        kept_as = f" {left} field{'s were' if left != 1 else ' was'} changed since, and stay." if left else ""
        messages.success(request, f"They are two contacts again.{kept_as}")
    return redirect(record.kept)
