"""Pages of recipients: on any host, without signing in, and without anything of the organisation but its sentences.

No CSRF token: the link itself is what allows it, mail programs post without cookies, and so may browsers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import path, reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from crm.email.limiting import is_too_often
from crm.email.models import EmailMessage
from crm.email.models.setup import email_settings
from crm.email.services import preferences
from crm.email.services.links import LinkError
from tenants.audit import client_address
from tenants.context import entered
from tenants.models import Tenant

PER_LINK, PER_GUESSER = 30, 30  # requests a minute
_View = Callable[[HttpRequest, str, Tenant, EmailMessage], HttpResponse]


def of_a_link(view: _View) -> Callable[[HttpRequest, str], HttpResponse]:
    """Enter the organisation whose link it is; one that is broken, or whose message is gone, gets a page that says so."""

    @csrf_exempt
    @never_cache
    @require_http_methods(["GET", "HEAD", "POST"])
    @wraps(view)
    def found(request: HttpRequest, token: str) -> HttpResponse:
        try:
            tenant, message = preferences.find_link(token)
        except LinkError:
            if is_too_often("mail-guess", client_address(request) or "", limit=PER_GUESSER):
                return _too_often(request)
            return _gone(request)
        with entered(tenant):
            if message is None:
                return _gone(request, tenant)
            if is_too_often("mail-link", str(message.pk), limit=PER_LINK):
                return _too_often(request, tenant)
            return view(request, token, tenant, message)

    return found


def _gone(request: HttpRequest, tenant: Tenant | None = None) -> HttpResponse:
    """In the organisation's words where it is known, else in the installation's."""
    env = settings.ENV
    title, text = env.email_unknown_link_title, env.email_unknown_link_text
    if tenant is not None:
        title, text = email_settings().gone_title, email_settings().gone_text
    return _notice(request, tenant, title=title, text=text, status=404)


def _too_often(request: HttpRequest, tenant: Tenant | None = None) -> HttpResponse:
    env = settings.ENV
    title, text = env.email_too_often_title, env.email_too_often_text
    if tenant is not None:
        title, text = tenant.name, email_settings().too_often_text
    response = _notice(request, tenant, title=title, text=text, status=429)
    response.headers["Retry-After"] = "60"
    return response


def _notice(request: HttpRequest, tenant: Tenant | None, *, title: str, text: str, status: int) -> HttpResponse:
    language = email_settings().language if tenant is not None else settings.ENV.email_language
    name = tenant.name if tenant is not None else ""
    words = {"title": title.replace("{organization}", name), "text": text.replace("{organization}", name)}
    return render(request, "crm/email/public/notice.html", {**words, "language": language}, status=status)


@of_a_link
def unsubscribe(request: HttpRequest, token: str, tenant: Tenant, message: EmailMessage) -> HttpResponse:
    """RFC 8058: a mail program posts; whoever follows the link, a scanner as well, only sees a button."""
    if request.method != "POST":
        return _page(request, token, tenant, message)
    if request.POST.get("List-Unsubscribe", "").strip().lower() != "one-click":
        return _page(request, token, tenant, message, status=400)
    preferences.unsubscribe(message=message)
    return HttpResponse(content_type="text/plain")


@of_a_link
def show_preferences(request: HttpRequest, token: str, tenant: Tenant, message: EmailMessage) -> HttpResponse:
    if request.method != "POST":
        return _page(request, token, tenant, message)
    action = {"unsubscribe": preferences.unsubscribe, "resubscribe": preferences.resubscribe}.get(
        request.POST.get("action", "")
    )
    if action is None:
        return _page(request, token, tenant, message, status=400)
    action(message=message)
    response = HttpResponseRedirect(reverse("mail:preferences", args=[token]))
    response.status_code = 303
    return response


def _page(request: HttpRequest, token: str, tenant: Tenant, message: EmailMessage, *, status: int = 200) -> HttpResponse:
    state, texts = preferences.preferences_of(message), email_settings()
    title, text = (
        (texts.preferences_title, texts.preferences_text)
        if state.is_subscribed
        else (texts.unsubscribed_title, texts.unsubscribed_text)
    )
    context = {
        "language": texts.language,
        "organization": tenant.name,
        "address": _masked(message.to_email),
        "title": title.replace("{organization}", tenant.name),
        "text": text.replace("{organization}", tenant.name),
        "state": state,
        "unsubscribe_label": texts.unsubscribe_label.replace("{organization}", tenant.name),
        "resubscribe_label": texts.resubscribe_label.replace("{organization}", tenant.name),
        "action": reverse("mail:preferences", args=[token]),
    }
    return render(request, "crm/email/public/preferences.html", context, status=status)


def _masked(address: str) -> str:
    """Enough for its owner to know which of theirs it is, and too little for whoever was forwarded the message."""
    local, _, domain = address.rpartition("@")
    return f"{local[:2] if len(local) > 3 else local[:1]}…@{domain}"


urlpatterns = [
    path("mail/u/<str:token>", unsubscribe, name="unsubscribe"),
    path("mail/p/<str:token>", show_preferences, name="preferences"),
]
