from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from crm.email.enums import EnrolmentState, SkipReason
from crm.email.forms.sequences import (
    EnrolManyForm,
    EnrolOneForm,
    SequenceForm,
    is_id,
    rearranged,
    rows_of,
    sent_rows,
    step_forms,
    view_choices,
)
from crm.email.models import EmailTemplate, Enrolment
from crm.email.models import Sequence as EmailSequence
from crm.email.models.sequences import EnrolJob
from crm.email.selectors import sequences as selectors
from crm.email.services import enrolling
from crm.email.services import sequences as services
from crm.email.services.enrolling import EnrolError
from crm.email.services.sequences import SequenceError
from crm.filters import clean_query
from crm.models import Contact
from crm.selectors.contacts import FilterError
from tenants.access import MemberRequest, manager_required
from tenants.audit import record_request
from tenants.enums import AuditAction


def _find(sequence_id: int) -> EmailSequence:
    sequence: EmailSequence = get_object_or_404(EmailSequence.objects.kept(), pk=sequence_id)
    return sequence


@require_GET
@manager_required
def sequence_list(request: MemberRequest) -> HttpResponse:
    return render(request, "crm/email/sequences/list.html", {"rows": selectors.sequence_rows()})


@require_GET
@manager_required
def sequence_detail(request: MemberRequest, sequence_id: int) -> HttpResponse:
    sequence, state = _find(sequence_id), request.GET.get("state", "")
    state = state if state in EnrolmentState.values else ""
    context = {
        "sequence": sequence,
        "view": selectors.sequence_view(sequence),
        "page": selectors.enrolment_page(sequence, state=state, page=request.GET.get("page")),
        "state": state,
        "carry": f"state={state}" if state else "",
    }
    return render(request, "crm/email/sequences/detail.html", context)


# --- writing one -----------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "POST"])
@manager_required
def sequence_create(request: MemberRequest) -> HttpResponse:
    return _editor(request, None)


@require_http_methods(["GET", "POST"])
@manager_required
def sequence_edit(request: MemberRequest, sequence_id: int) -> HttpResponse:
    return _editor(request, _find(sequence_id))


def _editor(request: MemberRequest, sequence: EmailSequence | None) -> HttpResponse:
    """The form with its steps. A button that moves a step sends everything, and gets it back moved and not saved."""
    if request.method == "GET":
        names = ("name", "is_active", "stop_on_reply", "version")
        initial = {name: getattr(sequence, name) for name in names} if sequence else {}
        return _show_editor(request, sequence, SequenceForm(initial=initial), step_forms(rows=rows_of(sequence)))
    if "do" in request.POST:
        steps = step_forms(rows=rearranged(sent_rows(request.POST), request.POST["do"]))
        form = SequenceForm(initial={name: request.POST.get(name, "") for name in SequenceForm.base_fields})
        return _show_editor(request, sequence, form, steps)
    form, steps = SequenceForm(request.POST), step_forms(request.POST)
    if form.is_valid() & steps.is_valid():
        drafts = [step.draft() for step in steps.forms]
        try:
            saved = services.save_sequence(sequence=sequence, **form.cleaned_data, drafts=drafts, by=request.user)
        except SequenceError as error:
            steps.show(error)
            if not error.faults:
                form.add_error(error.field or None, str(error))
        else:
            messages.success(request, "Saved.")
            return redirect(saved)
    return _show_editor(request, sequence, form, steps, status=422)


def _show_editor(
    request: MemberRequest, sequence: EmailSequence | None, form: SequenceForm, steps: Any, status: int = 200
) -> HttpResponse:
    context = {
        "sequence": sequence,
        "form": form,
        "steps": steps,
        "templates_exist": EmailTemplate.objects.usable().exists(),
        "running": Enrolment.objects.filter(sequence=sequence, state=EnrolmentState.ACTIVE).count() if sequence else 0,
    }
    template = "crm/email/sequences/_steps.html" if request.htmx else "crm/email/sequences/form.html"
    return render(request, template, context, status=status)


@require_POST
@manager_required
def sequence_switch(request: MemberRequest, sequence_id: int) -> HttpResponse:
    sequence, is_active = _find(sequence_id), request.POST.get("is_active") == "yes"
    try:
        services.switch_sequence(sequence=sequence, is_active=is_active, by=request.user)
    except SequenceError as error:
        messages.error(request, str(error))
    else:
        text = (
            "Switched on. What is overdue goes now." if is_active else "Switched off. Nothing more is sent until it is on."
        )
        messages.success(request, text)
    return redirect(sequence)


@require_POST
@manager_required
def sequence_delete(request: MemberRequest, sequence_id: int) -> HttpResponse:
    sequence = _find(sequence_id)
    services.delete_sequence(sequence=sequence, by=request.user)
    messages.success(request, "Deleted. Nobody gets anything more from it.")
    return redirect("email:sequence-list")


# --- who is in it ----------------------------------------------------------------------------------------------------


@require_GET
@manager_required
def sequence_choose(request: MemberRequest) -> HttpResponse:
    """From a list of contacts: which sequence?"""
    query = clean_query(QueryDict(request.GET.get("query", "")))
    context = {"rows": selectors.sequence_rows(), "query": query, "address": urlencode({"query": query})}
    return render(request, "crm/email/sequences/choose.html", context)


@require_http_methods(["GET", "POST"])
@manager_required
def sequence_enrol(request: MemberRequest, sequence_id: int) -> HttpResponse:
    """Everything a list shows: first what it would come to, then the button."""
    sequence = _find(sequence_id)
    asked = request.POST if request.method == "POST" else request.GET
    query = clean_query(QueryDict(asked.get("query", "")))
    form = EnrolManyForm(request.POST or None, initial={"query": query}, tenant=request.tenant)
    context: dict[str, Any] = {"sequence": sequence, "form": form, "query": query, "views": view_choices(request.user)}
    try:
        if request.method == "POST" and form.is_valid():
            return redirect(_start(request, sequence, query, form))
        if "query" in asked:
            preview = selectors.enrol_preview(sequence, query, tenant=request.tenant, user=request.user)
            context |= {"preview": preview}
    except (EnrolError, FilterError) as error:
        context |= {"error": str(error)}
    is_faulty = "error" in context or bool(form.errors)
    return render(request, "crm/email/sequences/enrol.html", context, status=422 if is_faulty else 200)


def _start(request: MemberRequest, sequence: EmailSequence, query: str, form: EnrolManyForm) -> EnrolJob:
    return enrolling.start_enrol_job(
        sequence=sequence, **_selection(query), by=request.user, start_at=form.cleaned_data["start_at"]
    )


def _selection(query: str) -> dict[str, Any]:
    """Contacts that were ticked are kept by their ids: a list's address is kept as it is, and is not that long."""
    asked = QueryDict(query)
    if set(asked) == {"id"}:
        return {"ids": [int(text) for text in asked.getlist("id") if is_id(text)], "query": ""}
    return {"ids": None, "query": query}


@require_GET
@manager_required
def job_detail(request: MemberRequest, sequence_id: int, job_id: int) -> HttpResponse:
    job = get_object_or_404(EnrolJob, pk=job_id, sequence=_find(sequence_id))
    reason, left_out = request.GET.get("reason", ""), selectors.left_out_of(job)
    reason = reason if reason in SkipReason.values else ""
    context = {
        "job": job,
        "sequence": job.sequence,
        "left_out": left_out,
        "dealt_with": job.enrolled + job.known + sum(count for _, count in left_out),
        "reason": reason,
        "carry": f"reason={reason}" if reason else "",
        "page": selectors.left_out_page(job, reason=reason, page=request.GET.get("page")),
    }
    template = "crm/email/sequences/_job.html" if request.htmx else "crm/email/sequences/job.html"
    return render(request, template, context)


@require_POST
@manager_required
def job_cancel(request: MemberRequest, sequence_id: int, job_id: int) -> HttpResponse:
    job = get_object_or_404(EnrolJob, pk=job_id, sequence=_find(sequence_id))
    if not enrolling.cancel_enrol_job(job=job):
        messages.error(request, "It is over already.")
    return redirect(job)


@require_POST
@manager_required
def enrolment_stop(request: MemberRequest, sequence_id: int, enrolment_id: int) -> HttpResponse:
    sequence = _find(sequence_id)
    enrolment = get_object_or_404(Enrolment, pk=enrolment_id, sequence=sequence)
    mine = Enrolment.objects.filter(pk=enrolment.pk)
    if services.stop_enrolments(enrolments=mine, state=EnrolmentState.STOPPED):
        record_request(
            request, AuditAction.SEQUENCE_CHANGED, target=f"contact {enrolment.contact_id} out of {sequence.name}"
        )
        messages.success(request, "Stopped. They get nothing more from this sequence.")
    else:
        messages.error(request, "It is over already.")
    if request.POST.get("back") == "contact":
        return redirect("email:contact-sequences", enrolment.contact_id)
    return redirect(sequence)


@require_POST
@manager_required
def enrolments_stop(request: MemberRequest, sequence_id: int) -> HttpResponse:
    sequence = _find(sequence_id)
    everybody = Enrolment.objects.filter(sequence=sequence)
    count = services.stop_enrolments(enrolments=everybody, state=EnrolmentState.STOPPED)
    record_request(request, AuditAction.SEQUENCE_CHANGED, target=f"everybody out of {sequence.name}: {count}")
    messages.success(request, f"Stopped for {count} {'person' if count == 1 else 'people'}.")
    return redirect(sequence)


@require_http_methods(["GET", "POST"])
@manager_required
def contact_sequences(request: MemberRequest, contact_id: int) -> HttpResponse:
    contact = get_object_or_404(Contact.objects.live(), pk=contact_id)
    form = EnrolOneForm(request.POST or None, tenant=request.tenant)
    if request.method == "POST" and form.is_valid():
        try:
            enrolment = enrolling.enrol_contact(contact=contact, by=request.user, **form.cleaned_data)
        except EnrolError as error:
            form.add_error(None, str(error))
        else:
            target = f"contact {contact.pk} into {enrolment.sequence.name}"
            record_request(request, AuditAction.SEQUENCE_CHANGED, target=target)
            messages.success(request, f"Enrolled in “{enrolment.sequence.name}”.")
            return redirect("email:contact-sequences", contact.pk)
    context = {"contact": contact, "form": form, "enrolments": selectors.enrolments_of(contact)}
    return render(request, "crm/email/sequences/contact.html", context, status=422 if form.errors else 200)


_ONE = "crm/email/sequences/<int:sequence_id>"
urlpatterns = [
    path("crm/email/sequences/", sequence_list, name="sequence-list"),
    path("crm/email/sequences/new/", sequence_create, name="sequence-create"),
    path("crm/email/sequences/choose/", sequence_choose, name="sequence-choose"),
    path(f"{_ONE}/", sequence_detail, name="sequence"),
    path(f"{_ONE}/edit/", sequence_edit, name="sequence-edit"),
    path(f"{_ONE}/switch/", sequence_switch, name="sequence-switch"),
    path(f"{_ONE}/delete/", sequence_delete, name="sequence-delete"),
    path(f"{_ONE}/enrol/", sequence_enrol, name="sequence-enrol"),
    path(f"{_ONE}/stop/", enrolments_stop, name="sequence-stop"),
    path(f"{_ONE}/enrolments/<int:enrolment_id>/stop/", enrolment_stop, name="enrolment-stop"),
    path(f"{_ONE}/jobs/<int:job_id>/", job_detail, name="sequence-job"),
    path(f"{_ONE}/jobs/<int:job_id>/cancel/", job_cancel, name="sequence-job-cancel"),
    path("crm/email/contacts/<int:contact_id>/sequences/", contact_sequences, name="contact-sequences"),
]
