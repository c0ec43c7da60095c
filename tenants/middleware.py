"""From host name to tenant, and from user to membership: on every request, before anything else looks at it."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django_tenants.utils import get_public_schema_name

from tenants.addresses import link_builder
from tenants.backend.base import as_a_page
from tenants.context import entered, in_public
from tenants.models import Domain, Membership

GetResponse = Callable[[HttpRequest], HttpResponseBase]

# Found by the number, token or record they name, on any host; probes come without a known host at all.
HOSTLESS = ("/api/webhooks/", "/mail/", "/health", "/metrics")
# Pages a signed-in stranger may still see on a tenant's domain.
OPEN_TO_STRANGERS = ("/accounts/", "/join/", "/api/v1/token")


def host_name(host: str) -> str:
    """Return the name in a Host header as domains are stored: no port, no brackets, no dot of the root at its end."""
    return host.rsplit(":", 1)[0].strip("[]").rstrip(".").casefold()


class TenantMiddleware:
    """Enters the tenant whose domain was asked for; an unknown host, or a tenant switched off, is a 404."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.build_absolute_uri = link_builder(request)  # type: ignore[method-assign]
        if request.path.startswith(HOSTLESS):
            request.urlconf = settings.PUBLIC_SCHEMA_URLCONF  # type: ignore[attr-defined]
            return self.get_response(request)
        with as_a_page():
            return self._enter(request)

    def _enter(self, request: HttpRequest) -> HttpResponseBase:
        with in_public():
            domain = Domain.objects.select_related("tenant").filter(domain=host_name(request.get_host())).first()
        if domain is None or not domain.tenant.is_active:
            return HttpResponse("There is no organisation at this address.", status=404, content_type="text/plain")
        request.tenant = domain.tenant  # type: ignore[attr-defined]
        request.domain = domain  # type: ignore[attr-defined]
        request.build_absolute_uri = link_builder(request)  # type: ignore[method-assign]
        if domain.tenant.schema_name == get_public_schema_name():
            request.urlconf = settings.PUBLIC_SCHEMA_URLCONF  # type: ignore[attr-defined]
        with entered(domain.tenant):
            return self.get_response(request)


class MembershipMiddleware:
    """Looks up what the signed-in person is here, on every request: a session of another tenant's host counts nothing.

    Sets `request.membership`. Whoever is signed in and not a member sees 404, as if the organisation did not exist.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.membership = None  # type: ignore[attr-defined]
        tenant = getattr(request, "tenant", None)
        if tenant is None or tenant.schema_name == get_public_schema_name() or not request.user.is_authenticated:
            return self.get_response(request)
        membership = Membership.objects.select_related("user").filter(tenant=tenant, user=request.user).first()
        request.membership = membership  # type: ignore[attr-defined]
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_: object) -> None:
        tenant = getattr(request, "tenant", None)
        if tenant is None or tenant.schema_name == get_public_schema_name() or request.path.startswith(OPEN_TO_STRANGERS):
            return
        if request.user.is_authenticated and request.membership is None:  # type: ignore[attr-defined]
            raise Http404("not a member")
