from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from crm.email.forms.composing import ComposeForm, TemplateChoiceForm
from crm.email.models import EmailMessage, EmailTemplate, InboundEmail
from crm.email.providers.registry import reports_events
from crm.email.rendering.renderer import RenderError
from crm.email.selectors.letters import answered_by, as_draft, empty_values, letter, preview, subject_of_answer
from crm.email.selectors.mailings import happenings, latest_messages, tells, uuid_or_none
from crm.email.services.composing import ComposeError, send_to_contact
from crm.email.services.senders import sender
from crm.email.services.settling import resend_message
from crm.email.services.suppressing import reason_for
from crm.email.views.framed import framed
from crm.models import Contact
from tenants.access import MemberRequest, manager_required


def _contact(contact_id: int) -> Contact:
    found: Contact = get_object_or_404(Contact.objects.live(), pk=contact_id)
    return found


@require_http_methods(["GET", "POST"])
@manager_required
def compose(request: MemberRequest, contact_id: int) -> HttpResponse:
    """A letter to one contact: written here, or begun by a template."""
    contact = _contact(contact_id)
    template = _template(request.POST.get("template") or request.GET.get("template", ""))
    answered = answered_by(contact, request.POST.get("answers") or request.GET.get("answers", ""))
    if request.method != "POST":
        return _compose_page(request, contact, template, answered=answered)
    if request.POST.get("as_designed") == "yes" and template is not None:
        return _send_designed(request, contact, template)
    form = ComposeForm(request.POST)
    if form.is_valid():
        try:
            send_to_contact(contact=contact, **form.cleaned_data, answers=answered, by=request.user)
        except ComposeError as error:
            form.add_error(error.field or None, str(error))
        else:
            return _sent(request, contact)
    return _compose_page(request, contact, template, form=form, answered=answered, status=422)


def _send_designed(request: MemberRequest, contact: Contact, template: EmailTemplate) -> HttpResponse:
    try:
        key = uuid_or_none(request.POST.get("key", ""))
        send_to_contact(contact=contact, version=template.current, key=key, by=request.user)
    except (ComposeError, RenderError) as error:
        messages.error(request, str(error))
        return redirect("email:compose", contact.pk)
    return _sent(request, contact)


def _sent(request: MemberRequest, contact: Contact) -> HttpResponse:
    messages.success(request, f"On its way to {contact.name}.")
    return redirect(contact)


def _template(text: str) -> EmailTemplate | None:
    is_id = text.isascii() and text.isdigit() and len(text) < 19
    usable = EmailTemplate.objects.usable().exclude(current=None).select_related("current")
    return usable.filter(pk=text).first() if is_id else None


def _compose_page(
    request: MemberRequest,
    contact: Contact,
    template: EmailTemplate | None,
    *,
    form: ComposeForm | None = None,
    answered: InboundEmail | None = None,
    status: int = 200,
) -> HttpResponse:
    initial: dict[str, str] = {"subject": subject_of_answer(answered)} if answered is not None else {}
    context: dict[str, Any] = {"contact": contact, "template": template, "sender": sender(), "answered": answered}
    if template is not None and template.current is not None:
        try:
            initial = as_draft(version=template.current, contact=contact)
            context["empty"] = empty_values(version=template.current, contact=contact)
        except RenderError as error:
            context["fault"] = str(error)
    context |= {
        "form": form or ComposeForm(initial=initial),
        "choice": TemplateChoiceForm(initial={"template": template.pk if template else None}),
        "reason": reason_for(contact=contact, address=contact.contact_email),
        "can_send": reports_events() is not None,
        "latest": latest_messages(contact),
    }
    return render(request, "crm/email/compose.html", context, status=status)


@require_GET
@manager_required
def compose_preview(request: MemberRequest, contact_id: int, template_id: int) -> HttpResponse:
    """A template as this contact would get it."""
    contact, template = _contact(contact_id), _template(str(template_id))
    if template is None or template.current is None:
        raise Http404("no such template")
    try:
        return framed(preview(version=template.current, contact=contact, is_bulk=False).html)
    except RenderError as error:
        raise Http404("nothing to show") from error


def _message(message_id: UUID) -> EmailMessage:
    related = ("version__template", "mailing", "contact", "batch")
    found: EmailMessage = get_object_or_404(EmailMessage.objects.select_related(*related), pk=message_id)
    return found


@require_GET
@never_cache
@manager_required
def message_detail(request: MemberRequest, message_id: UUID) -> HttpResponse:
    message = _message(message_id)
    context: dict[str, Any] = {"message": message, "happenings": happenings(message), "tells": tells(message)}
    try:
        context["letter"] = letter(message)
    except RenderError as error:
        context["fault"] = str(error)
    return render(request, "crm/email/message.html", context)


@require_POST
@manager_required
def message_resend(request: MemberRequest, message_id: UUID) -> HttpResponse:
    if resend_message(_message(message_id), by=request.user):
        messages.success(request, "It will be sent again.")
    else:
        messages.error(request, "It is not sent again: something has been heard of it meanwhile.")
    return redirect("email:message", message_id)


@require_GET
@manager_required
def message_body(request: MemberRequest, message_id: UUID) -> HttpResponse:
    try:
        shown = letter(_message(message_id))
    except RenderError as error:
        raise Http404("nothing to show") from error
    return framed(shown.html)


urlpatterns = [
    path("crm/email/compose/<int:contact_id>/", compose, name="compose"),
    path("crm/email/compose/<int:contact_id>/preview/<int:template_id>/", compose_preview, name="compose-preview"),
    path("crm/email/messages/<uuid:message_id>/", message_detail, name="message"),
    path("crm/email/messages/<uuid:message_id>/resend/", message_resend, name="message-resend"),
    path("crm/email/messages/<uuid:message_id>/body/", message_body, name="message-body"),
]
