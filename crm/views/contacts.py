from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpResponse, JsonResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import push_url

from billing.selectors import cost_of_contact
from crm.contactfields import FIELDS
from crm.enums import FactSource, InteractionKind, JobKind
from crm.fieldtypes import FieldError
from crm.filters import ContactFilter, clean_query, parse_filter
from crm.forms.contacts import ContactForm
from crm.forms.filters import FilterForm
from crm.forms.interactions import InteractionForm
from crm.forms.settings import SavedViewForm
from crm.models import Contact, ContactStatus, CustomField, MergeRecord, SavedView, Tag
from crm.selectors.contacts import filter_contacts, page_of_contacts
from crm.selectors.people import people_of
from crm.selectors.suggestions import COLUMNS, distinct_values
from crm.selectors.timeline import timeline
from crm.services.conflicts import differences, taken
from crm.services.contacts import (
    ConflictError,
    bin_contacts,
    create_contact,
    find_duplicates,
    restore_contact,
    set_do_not_contact,
    update_contact,
)
from crm.services.erasing import erase_person, reach_of
from tenants.access import MemberRequest, manager_required
from tenants.audit import record_request
from tenants.enums import AuditAction


def list_context(request: MemberRequest) -> tuple[ContactFilter, dict[str, Any]]:
    """What the list and the board both show of the address."""
    definitions = list(CustomField.objects.filter(is_active=True))
    chosen = parse_filter(request.GET, definitions)
    context = {
        "form": FilterForm(request.GET, tenant=request.tenant),
        "chosen": chosen,
        "query": clean_query(request.GET),
        "views": SavedView.visible_to(request.user),
        "view_form": SavedViewForm(),
        "statuses": {status.key: status for status in ContactStatus.objects.all()},
    }
    return chosen, context


@require_GET
@manager_required
def contact_list(request: MemberRequest) -> HttpResponse:
    chosen, context = list_context(request)
    contacts = filter_contacts(chosen, tenant=request.tenant, user=request.user)
    page = page_of_contacts(contacts, sort=chosen.sort, cursor=request.GET.get("cursor"))
    layout = "cards" if request.GET.get("layout") == "cards" else "table"
    context |= {"page": page, "layout": layout, "job_kinds": JobKind, "people": people_of(request.tenant)}
    if request.htmx and request.GET.get("cursor"):
        return render(request, "crm/_contact_more.html", context)
    if request.htmx:
        return with_address(request, render(request, "crm/_contact_results.html", context))
    return render(request, "crm/contact_list.html", context)


def with_address(request: MemberRequest, response: HttpResponse) -> HttpResponse:
    """Have the address bar say what is shown, and no more than that: forms also send what was left empty."""
    query = clean_query(request.GET, drop=("cursor",))
    return push_url(response, request.path + (f"?{query}" if query else ""))


@require_GET
@manager_required
def contact_detail(request: MemberRequest, contact_id: int) -> HttpResponse:
    known = Contact.objects.filter(erased_at=None).select_related("owner", "created_by", "merged_into")
    contact = get_object_or_404(known, pk=contact_id)
    kind = request.GET.get("kind", "")
    page = timeline(contact=contact, kind=kind, cursor=request.GET.get("cursor"))
    context = {"contact": contact, "page": page, "kind": kind, "kinds": InteractionKind.choices}
    if request.htmx:
        return render(request, "crm/_timeline.html", context)
    context |= {
        "status": ContactStatus.objects.filter(pk=contact.status).first(),
        "statuses": ContactStatus.objects.all(),
        "definitions": CustomField.objects.filter(is_active=True),
        "form": InteractionForm(
            tenant=request.tenant, initial={"kind": InteractionKind.NOTE, "user": str(request.user.pk)}
        ),
        "open_tasks": contact.interactions.open_tasks().select_related("user").order_by("due_on")[:20],
        "costs": cost_of_contact(tenant=request.tenant, contact_id=contact.pk),
        "merges": MergeRecord.objects.filter(kept=contact, undone_at=None).select_related("merged"),
    }
    return render(request, "crm/contact_detail.html", context)


@require_http_methods(["GET", "POST"])
@manager_required
def contact_create(request: MemberRequest) -> HttpResponse:
    form = ContactForm(request.POST or None, tenant=request.tenant)
    if request.method == "POST" and form.is_valid():
        contact = create_contact(values=form.values(), by=request.user)
        messages.success(request, f"{contact.name} is a contact now.")
        return redirect(contact)
    return render(request, "crm/contact_form.html", _form_context(form), status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@manager_required
def contact_edit(request: MemberRequest, contact_id: int) -> HttpResponse:
    contact = get_object_or_404(Contact, pk=contact_id, merged_into=None)
    if contact.deleted_at is not None and request.method == "GET":
        raise Http404("in the bin")
    form = ContactForm(request.POST or None, tenant=request.tenant, contact=contact)
    if request.method == "POST" and form.is_valid():
        values = taken(form.values(), contact, request.POST)
        try:
            update_contact(contact=contact, values=values, version=form.cleaned_data["version"] or 0, by=request.user)
        except ConflictError as conflict:
            return _show_conflict(request, form, conflict.current)
        messages.success(request, "Saved.")
        return redirect(contact)
    context = {**_form_context(form), "contact": contact}
    return render(request, "crm/contact_form.html", context, status=422 if form.errors else 200)


def _show_conflict(request: MemberRequest, form: ContactForm, current: Contact) -> HttpResponse:
    """Both versions, side by side; saving again decides."""
    form.data = form.data.copy()  # type: ignore[attr-defined]
    form.data["version"] = str(current.version)  # type: ignore[index]
    context = {**_form_context(form), "contact": current, "differences": differences(form.values(), current)}
    return render(request, "crm/contact_form.html", context, status=409)


def _form_context(form: ContactForm) -> dict[str, Any]:
    return {"form": form, "tags": Tag.objects.values_list("name", flat=True)[:200]}


@require_GET
@manager_required
def duplicates(request: MemberRequest) -> HttpResponse:
    """Contacts that might be the one being typed: a piece of the form, or a page for whoever comes here directly."""
    values = {}
    for key in ("contact_email", "phones", "contact_name", "business_name"):
        try:
            values[key] = FIELDS[key].parse(request.GET.get(key, "").replace("\0", ""), ContactForm.reading(request.tenant))
        except FieldError:  # half typed
            values[key] = [] if key == "phones" else ""
    exclude = request.GET.get("id", "")
    found = find_duplicates(
        email=values["contact_email"],
        numbers=[phone["number"] for phone in values["phones"]],
        contact_name=values["contact_name"],
        business_name=values["business_name"],
        exclude=int(exclude) if exclude.isascii() and exclude.isdigit() and len(exclude) < 19 else None,
    )
    template = "crm/_duplicates.html" if request.htmx else "crm/duplicates.html"
    return render(request, template, {"duplicates": found, "asked": request.GET})


@require_GET
@manager_required
def suggestions(request: MemberRequest, column: str) -> HttpResponse:
    if column not in COLUMNS:
        raise Http404("no such column")
    prefix = request.GET.get(column, "").replace("\0", "")[:100]
    return render(request, "crm/_options.html", {"values": distinct_values(column, prefix)})


@require_POST
@manager_required
def contact_delete(request: MemberRequest, contact_id: int) -> HttpResponse:
    contact = get_object_or_404(Contact.objects.live(), pk=contact_id)
    bin_contacts(ids=[contact.pk])
    record_request(request, AuditAction.CONTACTS_DELETED, target=f"contact {contact.pk}")
    messages.success(request, "In the bin, for thirty days.", extra_tags=f"undo:{contact.pk}")
    return redirect("crm:contact-list")


@require_http_methods(["GET", "POST"])
@manager_required
def contact_erase(request: MemberRequest, contact_id: int) -> HttpResponse:
    """Say what would go and what would stay; do it once that is confirmed."""
    contact = get_object_or_404(Contact, pk=contact_id, erased_at=None)
    if request.method == "POST" and request.POST.get("confirmed") == "yes":
        counts = erase_person(contact=contact, by=request.user)
        gone = ", ".join(f"{count:,} {kind}" for kind, count in counts.items())
        messages.success(request, f"Erased for good: {gone}.")
        return redirect("crm:contact-list")
    reach = reach_of(contact=contact)
    others = Contact.objects.filter(pk__in=reach.person.contact_ids).exclude(pk=contact.pk)
    context = {"contact": contact, "others": others, "shared": reach.shared, "person": reach.person}
    return render(request, "crm/contact_erase.html", context, status=422 if request.method == "POST" else 200)


@require_POST
@manager_required
def contact_restore(request: MemberRequest, contact_id: int) -> HttpResponse:
    contact = get_object_or_404(Contact, pk=contact_id)
    if restore_contact(contact=contact):
        messages.success(request, f"{contact.name} is back.")
    return redirect(contact)


@require_POST
@manager_required
def contact_status(request: MemberRequest, contact_id: int) -> HttpResponse:
    """Move a contact on the board. Answers JSON to the script that drags, a redirect to a form."""
    contact = get_object_or_404(Contact.objects.live(), pk=contact_id)
    status = get_object_or_404(ContactStatus, pk=request.POST.get("status", "").replace("\0", "?"))
    update_contact(contact=contact, values={"status": status.key})
    if request.headers.get("accept") == "application/json":
        return JsonResponse({"status": status.key, "label": status.label})
    if request.POST.get("from") == "contact":
        messages.success(request, f"The status is “{status.label}” now.")
        return redirect(contact)
    query = QueryDict(request.POST.get("query", "")).urlencode()
    target = redirect("crm:contact-board")
    target["Location"] += f"?{query}" if query else ""
    return target


@require_POST
@manager_required
def contact_wishes(request: MemberRequest, contact_id: int) -> HttpResponse:
    contact = get_object_or_404(Contact.objects.live(), pk=contact_id)
    set_do_not_contact(contact=contact, source=FactSource.PERSON, by=request.user)
    messages.success(request, "Noted: no calls, no texts and no mail.")
    return redirect(contact)


@require_GET
@manager_required
def contact_bin(request: MemberRequest) -> HttpResponse:
    binned = Contact.objects.filter(deleted_at__isnull=False, merged_into=None, erased_at=None).order_by(
        "-deleted_at", "-id"
    )
    return render(request, "crm/contact_bin.html", {"contacts": Paginator(binned, 100).get_page(request.GET.get("page"))})
