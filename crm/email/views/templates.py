from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from crm.email.forms.templates import TemplateForm
from crm.email.limiting import is_too_often
from crm.email.models import EmailTemplate, EmailTemplateVersion
from crm.email.rendering.checks import Finding
from crm.email.rendering.renderer import RenderError, Rendering
from crm.email.rendering.variables import catalogue
from crm.email.selectors import templates as selectors
from crm.email.selectors.changes import changes
from crm.email.selectors.previews import kept_draft, make_preview
from crm.email.services import templates as services
from crm.email.services.linkcheck import check_links
from crm.email.services.templates import TemplateConflictError, TemplateError
from tenants.access import MemberRequest, manager_required

LINK_CHECKS = 10  # a minute, of one organisation: each waits for other people's servers
# What a recipient's mail program would do: no scripts, no forms; styles and images, the latter encrypted on their way.
FRAME_POLICY = (
    "default-src 'none'; img-src https: data:; style-src 'unsafe-inline' https:; font-src https: data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox"
)


def _find(template_id: int) -> EmailTemplate:
    template: EmailTemplate = get_object_or_404(selectors.templates(), pk=template_id)
    return template


@require_GET
@manager_required
def template_list(request: MemberRequest) -> HttpResponse:
    return render(request, "crm/email/templates/list.html", {"templates": selectors.templates()})


@require_http_methods(["GET", "POST"])
@manager_required
def template_edit(request: MemberRequest, template_id: int | None = None) -> HttpResponse:
    """The editor. Saving is one of its buttons; the others show or send what is written, saved or not."""
    template = _find(template_id) if template_id else None
    data = request.POST or None
    form = TemplateForm.for_template(template, data) if template else TemplateForm(data)
    if request.method == "POST" and request.POST.get("do") == "save":
        return _save(request, form, template)
    if request.method == "POST" and request.POST.get("do") == "test":
        _send_test(request, form)
    return _show(request, form, template)


def _save(request: MemberRequest, form: TemplateForm, template: EmailTemplate | None) -> HttpResponse:
    if not form.is_valid():
        return _show(request, form, template, status=422)
    values = services.taken(form.values(), template, request.POST) if template else form.values()
    try:
        saved = services.save_template(
            template=template, **values, by=request.user, number=form.cleaned_data["number"] if template else None
        )
    except TemplateConflictError as conflict:
        return _show_conflict(request, form, conflict.current)
    except TemplateError as error:
        form.add_error(None, str(error))
        return _show(request, form, template, status=422)
    messages.success(request, "Saved. What is already being sent stays as it was.")
    return redirect(saved)


def _show_conflict(request: MemberRequest, form: TemplateForm, current: EmailTemplate) -> HttpResponse:
    """Both versions; saving again decides."""
    assert current.current is not None
    form.data = form.data.copy()  # type: ignore[attr-defined]
    form.data["number"] = str(current.current.number)  # type: ignore[index]
    differing = [
        (difference, changes(difference.saved, difference.mine))
        for difference in services.differences(form.values(), current)
    ]
    return _show(request, form, current, status=409, differences=differing)


def _send_test(request: MemberRequest, form: TemplateForm) -> None:
    contact = selectors.example(_contact_id(request)).contact
    try:
        services.send_test(source=form.source(), contact=contact, to=request.user)
    except (RenderError, TemplateError) as error:
        messages.error(request, f"Not sent. {error}")
        return
    messages.success(request, f"Sent to {request.user.email}.")


def _contact_id(request: MemberRequest) -> int | None:
    asked: str = request.POST.get("show") or request.POST.get("contact") or request.GET.get("contact") or ""
    return int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 19 else None


def _show(
    request: MemberRequest, form: TemplateForm, template: EmailTemplate | None, *, status: int = 200, **more: Any
) -> HttpResponse:
    find = request.POST.get("find", "")
    source = form.source()
    context: dict[str, Any] = {"form": form, "template": template, "find": find, **more}
    if source.html.strip():
        context["preview"] = make_preview(
            source, contact_id=_contact_id(request), find=find, tenant=request.tenant, user=request.user
        )
        if request.POST.get("do") == "links":
            context["links"] = _links(request, context["preview"].rendering)
    if request.htmx:
        return render(request, "crm/email/templates/_preview.html", context)
    return render(request, "crm/email/templates/edit.html", {**context, "variables": catalogue()}, status=status)


def _links(request: MemberRequest, rendering: Rendering | None) -> list[Finding] | None:
    """Where the links of what is shown lead to; None when that was asked too often, or nothing is shown."""
    if rendering is None or is_too_often("link-check", f"{request.tenant.pk}", limit=LINK_CHECKS):
        return None
    return check_links(rendering.html)


@require_GET
@never_cache
@xframe_options_sameorigin
@manager_required
def preview_frame(request: MemberRequest, draft: str, contact_id: int) -> HttpResponse:
    """What is written, as this contact would get it, for a frame that nothing can get out of."""
    source = kept_draft(draft, request.user)
    contact = selectors.example(contact_id).contact if contact_id else None
    try:
        html = services.preview(source=source, contact=contact).html if source else None
    except RenderError:
        html = None
    expired = "crm/email/templates/_expired.html"
    response = HttpResponse(html) if html is not None else render(request, expired, status=404)
    response["Content-Security-Policy"] = FRAME_POLICY
    response["Referrer-Policy"] = "no-referrer"
    return response


@require_POST
@manager_required
def template_copy(request: MemberRequest, template_id: int) -> HttpResponse:
    made = services.copy_template(template=_find(template_id), by=request.user)
    messages.success(request, "This is the copy. It is switched off until you switch it on.")
    return redirect(made)


@require_POST
@manager_required
def template_switch(request: MemberRequest, template_id: int) -> HttpResponse:
    is_active = request.POST.get("to") == "on"
    services.switch_template(template=_find(template_id), is_active=is_active, by=request.user)
    words = "It can be chosen again." if is_active else "Switched off: it cannot be chosen any more."
    messages.success(request, words)
    return redirect("email:template-list")


@require_POST
@manager_required
def template_delete(request: MemberRequest, template_id: int) -> HttpResponse:
    template = _find(template_id)
    try:
        services.delete_template(template=template, by=request.user)
    except TemplateError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"“{template.name}” is deleted.", extra_tags=f"undelete-template:{template.pk}")
    return redirect("email:template-list")


@require_POST
@manager_required
def template_undelete(request: MemberRequest, template_id: int) -> HttpResponse:
    template = get_object_or_404(EmailTemplate, pk=template_id)
    if services.undelete_template(template=template, by=request.user):
        messages.success(request, f"“{template.name}” is back.")
    return redirect("email:template-list")


@require_GET
@manager_required
def version_list(request: MemberRequest, template_id: int) -> HttpResponse:
    template = _find(template_id)
    old, new = (_version(template, request.GET.get(name)) for name in ("old", "new"))
    context: dict[str, Any] = {"template": template, "versions": selectors.versions(template), "old": old, "new": new}
    if old and new:
        parts = (("Subject", "subject"), ("HTML", "html"), ("Plain text", "text"))
        context["changes"] = [(label, changes(getattr(old, name), getattr(new, name))) for label, name in parts]
    return render(request, "crm/email/templates/versions.html", context)


def _version(template: EmailTemplate, number: str | None) -> EmailTemplateVersion | None:
    if not number or not (number.isascii() and number.isdigit() and len(number) < 10):
        return None
    return template.versions.filter(number=number).first()


@require_POST
@manager_required
def version_restore(request: MemberRequest, template_id: int, number: int) -> HttpResponse:
    template = _find(template_id)
    version = get_object_or_404(EmailTemplateVersion, template=template, number=number)
    try:
        services.restore_version(template=template, version=version, by=request.user)
    except TemplateError as error:
        first = error.findings[0].text if error.findings else str(error)
        messages.error(request, f"Version {number} cannot be sent any more. {first}")
    else:
        messages.success(request, f"Version {number} counts again, as the newest.")
    return redirect("email:template-versions", template.pk)


urlpatterns = [
    path("crm/email/templates/", template_list, name="template-list"),
    path("crm/email/templates/new/", template_edit, name="template-new"),
    path("crm/email/templates/<int:template_id>/", template_edit, name="template-edit"),
    path("crm/email/templates/<int:template_id>/copy/", template_copy, name="template-copy"),
    path("crm/email/templates/<int:template_id>/switch/", template_switch, name="template-switch"),
    path("crm/email/templates/<int:template_id>/delete/", template_delete, name="template-delete"),
    path("crm/email/templates/<int:template_id>/undelete/", template_undelete, name="template-undelete"),
    path("crm/email/templates/<int:template_id>/versions/", version_list, name="template-versions"),
    path("crm/email/templates/<int:template_id>/versions/<int:number>/restore/", version_restore, name="template-restore"),
    path("crm/email/templates/preview/<slug:draft>/<int:contact_id>/", preview_frame, name="template-frame"),
]
