from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.views.decorators import staff_member_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe


def public_home(request: HttpRequest) -> HttpResponse:
    """The public domain has no pages of its own: staff go to the admin, anybody else is told where they are."""
    if request.user.is_authenticated and getattr(request.user, "is_staff", False):
        return redirect("admin:index")
    return render(request, "public_home.html")


@require_safe
@staff_member_required
def doctor(request: HttpRequest) -> HttpResponse:
    """What `manage.py doctor` says, for staff. Takes as long as the slowest provider, five seconds at most."""
    from thanos.diagnosis import diagnose

    findings = sorted(diagnose(), key=lambda finding: not finding.stops_calls)
    stops_calls = any(finding.stops_calls for finding in findings)
    context = {**admin.site.each_context(request), "title": "Doctor", "findings": findings, "stops_calls": stops_calls}
    return render(request, "admin/doctor.html", context)


def style_page(request: HttpRequest) -> HttpResponse:
    if not settings.DEBUG:
        raise Http404("only in development")
    return render(request, "style.html", {"points": [3, 5, 2, 8, 6, 9, 4]})


def _page(request: HttpRequest, status: int, detail: str, **context: str) -> HttpResponse:
    """A page for people; programs, wherever under /api/ the error came from, read JSON as from the API itself."""
    if request.path.startswith("/api/"):
        return JsonResponse({"detail": detail}, status=status)
    return render(request, f"{status}.html", context, status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page(request, 400, "Bad request.")


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page(request, 403, "Forbidden.", why=str(exception))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _page(request, 404, "Not found.")


def server_error(request: HttpRequest) -> HttpResponse:
    return _page(request, 500, "A fault of ours. Try again later.")


def csrf_failure(request: HttpRequest, reason: str = "", **_: Any) -> HttpResponse:
    return render(
        request, "403.html", {"why": "The form was open for too long. Go back, reload the page and try again."}, status=403
    )
