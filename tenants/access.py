"""Who may see and do what. A stranger's object is a 404, a missing right a 403."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase

from tenants.models import Membership, Tenant, User

View = Callable[..., HttpResponseBase]


class MemberRequest(HttpRequest):
    """A request that passed `member_required`: the tenant, the user and the membership are there."""

    tenant: Tenant
    membership: Membership
    user: User  # type: ignore[assignment]
    htmx: Any


def member_required(view: Callable[..., HttpResponseBase]) -> View:
    @wraps(view)
    @login_required
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if getattr(request, "membership", None) is None:
            raise Http404("not a member")
        return view(request, *args, **kwargs)

    return checked


def manager_required(view: Callable[..., HttpResponseBase]) -> View:
    """Owners and admins; a member gets 403."""

    @wraps(view)
    @member_required
    def checked(request: MemberRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.membership.can_manage:
            raise PermissionDenied("Only owners and admins can do this.")
        return view(request, *args, **kwargs)

    return checked


def owner_required(view: Callable[..., HttpResponseBase]) -> View:
    """What costs the organisation money for good: owners alone; everybody else gets 403."""

    @wraps(view)
    @member_required
    def checked(request: MemberRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.membership.is_owner:
            raise PermissionDenied("Only owners can do this.")
        return view(request, *args, **kwargs)

    return checked


def insider_required(view: Callable[..., HttpResponseBase]) -> View:
    """Members on their organisation's domain, staff on the public one; whoever is not signed in is asked to."""

    @wraps(view)
    @login_required
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if getattr(request, "membership", None) is None and not getattr(request.user, "is_staff", False):
            raise Http404("neither a member nor staff")
        return view(request, *args, **kwargs)

    return checked
