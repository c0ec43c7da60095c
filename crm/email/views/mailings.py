from __future__ import annotations

from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import Http404, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from crm.email.enums import MailingState, MessageState, PauseReason, SkipReason
from crm.email.forms.mailings import MailingForm, StartForm
from crm.email.models import EmailTemplate, Mailing
from crm.email.models.setup import email_settings
from crm.email.selectors import reports
from crm.email.selectors.drafts import Draft, draft_of, sample_of
from crm.email.selectors.exports import export_messages
from crm.email.selectors.mailings import mailing_page, messages_of
from crm.email.services import mailings as services
from crm.email.services.audiences import audience_page
from crm.email.services.mailings import MailingError
from crm.email.services.settling import resend_unknown
from crm.email.views.framed import framed
from crm.filters import clean_query
from crm.imports.streaming import stream
from crm.models import SavedView
from crm.selectors.contacts import FilterError
from tenants.access import MemberRequest, manager_required
from tenants.audit import record_request
from tenants.enums import AuditAction

RUNNING = (MailingState.SCHEDULED, MailingState.PREPARING, MailingState.SENDING, MailingState.PAUSED)
AUDIENCE = 40
_LONG = (
    "contact_ids",
    *(f"{path}__{part}" for path in ("version", "version__template__current") for part in ("html", "text")),
)


def _find(mailing_id: int) -> Mailing:
    """Read a mailing; of one that is followed every second only what its pages show."""
    mailings = Mailing.objects.select_related("version__template__current", "user")
    found: Mailing = get_object_or_404(mailings.defer(*_LONG), pk=mailing_id)
    if found.state == MailingState.DRAFT:
        found = get_object_or_404(mailings, pk=mailing_id)
    return found


@require_GET
@manager_required
def mailing_list(request: MemberRequest) -> HttpResponse:
    context = {"list": mailing_page(page=request.GET.get("page"))}
    return render(request, "crm/email/mailing_list.html", context)


@require_http_methods(["GET", "POST"])
@manager_required
def mailing_create(request: MemberRequest) -> HttpResponse:
    """Comes with a view or a list's address, or, sent from a list, with the contacts that were ticked."""
    if request.method == "POST" and "name" in request.POST:
        return _create(request)
    if request.method == "POST" and request.POST.get("all") != "yes" and not request.POST.getlist("contact"):
        messages.error(request, "Choose at least one contact.")
        return redirect("crm:contact-list")
    form = MailingForm(user=request.user, initial=_first_values(request))
    return render(request, "crm/email/mailing_new.html", _new_context(form))


def _create(request: MemberRequest) -> HttpResponse:
    form = MailingForm(request.POST, user=request.user)
    if form.is_valid():
        try:
            return redirect(services.create_mailing(**form.values(), by=request.user))
        except MailingError as error:
            _add(form, error)
    return render(request, "crm/email/mailing_new.html", _new_context(form), status=422)


def _new_context(form: MailingForm) -> dict[str, Any]:
    usable = EmailTemplate.objects.usable().exclude(current=None)
    return {"form": form, "has_templates": usable.exists(), "has_views": bool(form.views)}


def _first_values(request: MemberRequest) -> dict[str, Any]:
    query = request.POST.get("query") or request.GET.get("query", "")
    if view := _view_of(request):
        query = view.query
    wants_all = request.method == "GET" or request.POST.get("all") == "yes"
    ids = "" if wants_all else ",".join(request.POST.getlist("contact"))
    ids = ids or request.GET.get("ids", "")
    name = view.name if view else ""
    return {"query": "" if ids else clean_query(QueryDict(query)), "ids": ids, "name": name, **_everybody(request, query)}


def _view_of(request: MemberRequest) -> SavedView | None:
    text = request.GET.get("view", "")
    is_id = text.isascii() and text.isdigit() and len(text) < 19
    return SavedView.visible_to(request.user).filter(pk=text).first() if is_id else None


def _everybody(request: MemberRequest, query: str) -> dict[str, str]:
    """A list without conditions, asked for as such, is everybody; nothing said is nothing chosen."""
    asked = "query" in request.GET or request.POST.get("all") == "yes"
    return {"audience": "everybody"} if asked and not query else {}


def _add(form: MailingForm | StartForm, error: MailingError) -> None:
    names = {"contact_ids": "audience", "query": "audience"}
    field = names.get(error.field, error.field)
    form.add_error(field if field in form.fields else None, str(error))


@require_GET
@manager_required
def mailing_detail(request: MemberRequest, mailing_id: int) -> HttpResponse:
    mailing = _find(mailing_id)
    if mailing.state == MailingState.DRAFT:
        return _draft_page(request, mailing)
    if mailing.state in RUNNING:
        return _progress_page(request, mailing)
    if request.htmx:  # it has ended while somebody watched: the whole page changes
        return HttpResponse(headers={"HX-Refresh": "true"})
    return render(request, "crm/email/mailing_report.html", {"mailing": mailing, "report": reports.report(mailing)})


def _number(request: MemberRequest) -> int:
    """Whose message is shown, from 1."""
    text = request.GET.get("n", "1")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 1


def _draft_page(
    request: MemberRequest,
    mailing: Mailing,
    *,
    form: MailingForm | None = None,
    start_form: StartForm | None = None,
    draft: Draft | None = None,
    status: int = 200,
) -> HttpResponse:
    setup = email_settings()
    context = {
        "mailing": mailing,
        "form": form or MailingForm(user=request.user, mailing=mailing),
        "start_form": start_form or StartForm(tenant=request.tenant, morning_hour=setup.morning_hour),
        "draft": draft or draft_of(mailing, number=_number(request)),
        "setup": setup,
    }
    return render(request, "crm/email/mailing_draft.html", context, status=status)


def _progress_page(request: MemberRequest, mailing: Mailing) -> HttpResponse:
    context = {
        "mailing": mailing,
        "progress": reports.progress(mailing),
        "is_watched": mailing.state != MailingState.PAUSED,
    }
    template = "crm/email/_progress.html" if request.htmx else "crm/email/mailing_progress.html"
    return render(request, template, context)


@require_POST
@manager_required
def mailing_change(request: MemberRequest, mailing_id: int) -> HttpResponse:
    mailing = _find(mailing_id)
    form = MailingForm(request.POST, user=request.user, mailing=mailing)
    if form.is_valid():
        try:
            services.change_mailing(mailing=mailing, **form.values())
            return redirect(mailing)
        except MailingError as error:
            _add(form, error)
    if mailing.state != MailingState.DRAFT:
        messages.error(request, "It has been started and can no longer be changed.")
        return redirect(mailing)
    return _draft_page(request, mailing, form=form, status=422)


@require_POST
@manager_required
def mailing_empty_values(request: MemberRequest, mailing_id: int) -> HttpResponse:
    """Whether who lacks a value the text prints is left out."""
    mailing = _find(mailing_id)
    try:
        services.change_mailing(mailing=mailing, skip_empty_values=request.POST.get("skip") == "yes")
    except MailingError as error:
        messages.error(request, str(error))
    return redirect(mailing)


@require_POST
@manager_required
def mailing_start(request: MemberRequest, mailing_id: int) -> HttpResponse:
    mailing = _find(mailing_id)
    form = StartForm(request.POST, tenant=request.tenant, morning_hour=email_settings().morning_hour)
    if mailing.state != MailingState.DRAFT:
        messages.error(request, "It has been started already.")
        return redirect(mailing)
    draft = draft_of(mailing)
    if fault := draft.why_not(seen=request.POST.get("seen", "")):
        form.add_error(None, fault)
    if form.is_valid():
        try:
            started = services.start_mailing(
                mailing=mailing, when=form.cleaned_data["when"], send_at=form.cleaned_data["moment"], by=request.user
            )
            return redirect(started)
        except MailingError as error:
            _add(form, error)
    return _draft_page(request, mailing, start_form=form, draft=draft, status=422)


@require_POST
@manager_required
def mailing_pause(request: MemberRequest, mailing_id: int) -> HttpResponse:
    mailing = _find(mailing_id)
    if not services.pause_mailing(mailing=mailing, reason=PauseReason.PERSON, by=request.user):
        messages.error(request, "It does not run any more.")
    return redirect(mailing)


@require_POST
@manager_required
def mailing_resume(request: MemberRequest, mailing_id: int) -> HttpResponse:
    mailing = _find(mailing_id)
    if not services.resume_mailing(mailing=mailing, by=request.user):
        messages.error(request, "It is not paused.")
    return redirect(mailing)


@require_POST
@manager_required
def mailing_cancel(request: MemberRequest, mailing_id: int) -> HttpResponse:
    mailing = _find(mailing_id)
    if services.cancel_mailing(mailing=mailing, by=request.user):
        messages.success(request, "Cancelled. Whoever has not got it yet will not get it.")
    else:
        messages.error(request, "It is over already.")
    return redirect(mailing)


@require_POST
@manager_required
def mailing_resend(request: MemberRequest, mailing_id: int) -> HttpResponse:
    """Send again what was never answered, and nothing is known of: a person takes it upon themselves."""
    mailing = _find(mailing_id)
    if count := resend_unknown(mailing, by=request.user):
        messages.success(request, f"{count} message{'' if count == 1 else 's'} will be sent again.")
    else:
        messages.error(request, "There is nothing to send again: something has been heard of these messages meanwhile.")
    return redirect(mailing)


@require_POST
@manager_required
def mailing_delete(request: MemberRequest, mailing_id: int) -> HttpResponse:
    mailing = _find(mailing_id)
    try:
        services.delete_mailing(mailing=mailing, by=request.user)
    except MailingError as error:
        messages.error(request, str(error))
        return redirect(mailing)
    messages.success(request, "The draft is deleted.")
    return redirect("email:mailing-list")


@require_POST
@manager_required
def mailing_copy(request: MemberRequest, mailing_id: int) -> HttpResponse:
    copy = services.copy_mailing(mailing=_find(mailing_id), by=request.user)
    messages.success(request, "This is a copy. Nothing is sent before you say so.")
    return redirect(copy)


@require_GET
@manager_required
def mailing_audience(request: MemberRequest, mailing_id: int) -> HttpResponse:
    """Who will receive it or, with a reason, who will not."""
    mailing = _find(mailing_id)
    reason, after = request.GET.get("reason", ""), request.GET.get("after", "")
    if reason and reason not in SkipReason.values:
        raise Http404("no such reason")
    position = int(after) if after.isascii() and after.isdigit() and len(after) < 19 else 0
    chosen = SkipReason(reason) if reason else None
    try:
        contacts = audience_page(mailing=mailing, reason=chosen, after=position, size=AUDIENCE + 1)
    except FilterError as error:
        messages.error(request, str(error))
        return redirect(mailing)
    context = {"mailing": mailing, "reason": chosen, "contacts": contacts[:AUDIENCE], "after": position}
    context["next"] = contacts[AUDIENCE - 1].pk if len(contacts) > AUDIENCE else None
    return render(request, "crm/email/mailing_audience.html", context)


@require_GET
@manager_required
def mailing_preview(request: MemberRequest, mailing_id: int) -> HttpResponse:
    """The message of one of the recipients, for the frame in the draft's page."""
    try:
        sample = sample_of(_find(mailing_id), _number(request))
    except FilterError:
        sample = None
    if sample is None or sample.rendering is None:
        raise Http404("nothing to show")
    return framed(sample.rendering.html)


@require_GET
@manager_required
def mailing_messages(request: MemberRequest, mailing_id: int) -> HttpResponse:
    mailing = _find(mailing_id)
    state, reason = request.GET.get("state", ""), request.GET.get("reason", "")
    counts = reports.counts(mailing)
    context = {
        "mailing": mailing,
        "list": messages_of(mailing, state=state, reason=reason, after=request.GET.get("after", "")),
        "state": state if state in MessageState.values else "",
        "reason": SkipReason(reason) if reason in SkipReason.values else None,
        "states": [(known, counts[known]) for known in MessageState if counts.get(known)],
        "total": sum(counts.values()),
    }
    return render(request, "crm/email/mailing_messages.html", context)


@require_GET
@manager_required
def mailing_export(request: MemberRequest, mailing_id: int) -> HttpResponseBase:
    mailing = _find(mailing_id)
    record_request(request, AuditAction.CONTACTS_EXPORTED, target=f"recipients of mailing {mailing.pk}")
    pieces = export_messages(mailing, zone=ZoneInfo(request.tenant.time_zone))
    name = f"mailing-{mailing.pk}-{date.today():%Y-%m-%d}.csv"
    return stream(request, pieces, name=name, content_type="text/csv; charset=utf-8")


urlpatterns = [
    path("crm/email/", mailing_list, name="mailing-list"),
    path("crm/email/new/", mailing_create, name="mailing-create"),
    path("crm/email/<int:mailing_id>/", mailing_detail, name="mailing"),
    path("crm/email/<int:mailing_id>/change/", mailing_change, name="mailing-change"),
    path("crm/email/<int:mailing_id>/empty-values/", mailing_empty_values, name="mailing-empty-values"),
    path("crm/email/<int:mailing_id>/start/", mailing_start, name="mailing-start"),
    path("crm/email/<int:mailing_id>/pause/", mailing_pause, name="mailing-pause"),
    path("crm/email/<int:mailing_id>/resume/", mailing_resume, name="mailing-resume"),
    path("crm/email/<int:mailing_id>/cancel/", mailing_cancel, name="mailing-cancel"),
    path("crm/email/<int:mailing_id>/resend/", mailing_resend, name="mailing-resend"),
    path("crm/email/<int:mailing_id>/delete/", mailing_delete, name="mailing-delete"),
    path("crm/email/<int:mailing_id>/copy/", mailing_copy, name="mailing-copy"),
    path("crm/email/<int:mailing_id>/audience/", mailing_audience, name="mailing-audience"),
    path("crm/email/<int:mailing_id>/preview/", mailing_preview, name="mailing-preview"),
    path("crm/email/<int:mailing_id>/messages/", mailing_messages, name="mailing-messages"),
    path("crm/email/<int:mailing_id>/report.csv", mailing_export, name="mailing-export"),
]
