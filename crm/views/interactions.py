from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from crm.enums import InteractionKind
from crm.forms.interactions import InteractionForm
from crm.models import Attachment, Contact, Interaction
from crm.selectors.timeline import task_counts, tasks
from crm.services.attachments import AttachmentError, add_attachment, read_attachment
from crm.services.interactions import add_interaction, delete_interaction, set_task_done, update_interaction
from crm.views.today import today_of
from tenants.access import MemberRequest, manager_required
from tenants.audit import record_request
from tenants.enums import AuditAction
from tenants.models import User

TASK_LISTS = ("due", "overdue", "today", "later", "all")
PAGE_SIZE = 100


@require_http_methods(["GET", "POST"])
@manager_required
def task_add(request: MemberRequest) -> HttpResponse:
    """A task that belongs to no contact, or to one that `contact` names."""
    contact = None
    if request.GET.get("contact"):
        number = request.GET["contact"]
        if not (number.isascii() and number.isdigit() and len(number) < 19):
            raise Http404("no contact")
        contact = get_object_or_404(Contact.objects.live(), pk=int(number))
    initial = {"kind": InteractionKind.TASK, "user": str(request.user.pk), "due_on": today_of(request.tenant)}
    form = InteractionForm(request.POST or None, request.FILES or None, tenant=request.tenant, initial=initial, tasks=True)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        entry = add_interaction(
            contact=contact,
            kind=data["kind"],
            subject=data["subject"],
            content=data["content"],
            by=User.objects.filter(pk=data["user"]).first() if data["user"] else None,
            due_on=data["due_on"],
            remind_at=data["remind_at"],
        )
        for upload in data["files"]:
            _attach(request, entry, upload)
        messages.success(request, "The task is on the list.")
        return redirect("crm:task-list")
    context = {"form": form, "contact": contact, "is_task": True}
    return render(request, "crm/interaction_form.html", context, status=422 if form.errors else 200)


@require_POST
@manager_required
def interaction_add(request: MemberRequest, contact_id: int) -> HttpResponse:
    contact = get_object_or_404(Contact.objects.live(), pk=contact_id)
    form = InteractionForm(request.POST, request.FILES, tenant=request.tenant)
    if not form.is_valid():
        return render(request, "crm/interaction_form.html", {"form": form, "contact": contact}, status=422)
    data = form.cleaned_data
    entry = add_interaction(
        contact=contact,
        kind=data["kind"],
        subject=data["subject"],
        content=data["content"],
        by=User.objects.filter(pk=data["user"]).first() if data["user"] else None,
        at=data["interaction_date"],
        due_on=data["due_on"],
        remind_at=data["remind_at"],
    )
    kept = [_attach(request, entry, upload) for upload in data["files"]]
    if not (data["subject"] or data["content"] or any(kept)):  # it was to be a file, and that was refused
        delete_interaction(interaction=entry)
        return redirect(contact)
    return redirect(entry)


def _attach(request: MemberRequest, entry: Interaction, upload: object) -> bool:
    try:
        add_attachment(interaction=entry, upload=upload, by=request.user)  # type: ignore[arg-type]
    except AttachmentError as error:
        messages.error(request, str(error))
        return False
    return True


@require_http_methods(["GET", "POST"])
@manager_required
def interaction_edit(request: MemberRequest, interaction_id: int) -> HttpResponse:
    entry = get_object_or_404(Interaction.objects.select_related("contact"), pk=interaction_id, contact__deleted_at=None)
    form = InteractionForm(request.POST or None, tenant=request.tenant, entry=entry, tasks=entry.contact_id is None)
    if request.method == "POST" and form.is_valid():
        update_interaction(interaction=entry, values=form.values())
        messages.success(request, "Saved.")
        return redirect(entry)
    context = {"form": form, "contact": entry.contact, "entry": entry}
    return render(request, "crm/interaction_form.html", context, status=422 if form.errors else 200)


@require_POST
@manager_required
def interaction_delete(request: MemberRequest, interaction_id: int) -> HttpResponse:
    entry = get_object_or_404(Interaction.objects.select_related("contact"), pk=interaction_id)
    contact = entry.contact
    delete_interaction(interaction=entry)
    messages.success(request, "Deleted.")
    return redirect(contact or "crm:task-list")


@require_POST
@manager_required
def attachment_add(request: MemberRequest, interaction_id: int) -> HttpResponse:
    entry = get_object_or_404(Interaction, pk=interaction_id, contact__deleted_at=None)
    for upload in request.FILES.getlist("files"):
        _attach(request, entry, upload)
    return redirect(entry)


@require_GET
@manager_required
def attachment(request: MemberRequest, attachment_id: int) -> HttpResponse:
    """Always a download: what somebody uploaded is never shown as a page of ours."""
    found = get_object_or_404(Attachment, pk=attachment_id)
    record_request(request, AuditAction.FILE_DOWNLOADED, target=f"attachment {found.pk}")
    response = HttpResponse(read_attachment(found), content_type="application/octet-stream")
    response.headers["Content-Disposition"] = _download_name(found.name)
    response.headers["Cache-Control"] = "private, no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _download_name(name: str) -> str:
    from django.utils.http import content_disposition_header

    return content_disposition_header(as_attachment=True, filename=name) or "attachment"


@require_GET
@manager_required
def task_list(request: MemberRequest) -> HttpResponse:
    today = today_of(request.tenant)
    chosen = request.GET.get("when", "all")
    whose = request.GET.get("whose", "mine")
    user = None if whose == "everybody" else request.user
    context = {
        "chosen": chosen if chosen in TASK_LISTS else "all",
        "whose": "everybody" if user is None else "mine",
        "tasks": Paginator(tasks(chosen=chosen, user=user, today=today), PAGE_SIZE).get_page(request.GET.get("page")),
        "counts": task_counts(user=user, today=today),
        "today": today,
    }
    return render(request, "crm/task_list.html", context)


@require_POST
@manager_required
def task_done(request: MemberRequest, interaction_id: int) -> HttpResponse:
    entry = get_object_or_404(Interaction, pk=interaction_id, contact__deleted_at=None)
    done = request.POST.get("done", "yes") == "yes"
    set_task_done(interaction=entry, done=done, now=timezone.now())
    messages.success(request, "Done." if done else "Open again.", extra_tags="" if not done else f"reopen:{entry.pk}")
    return redirect("crm:task-list") if request.POST.get("from") == "tasks" else redirect(entry)
