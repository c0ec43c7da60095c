"""Who may use the REST API: members of the tenant whose domain was asked, and tokens within their scopes.

A view says what a token needs for it, reading and writing, and where an action needs another, that by its name:

    required_scopes = {"read": Scope.CONTACTS_READ, "write": Scope.CONTACTS_WRITE, "export": Scope.EXPORTS_READ}

A view that says nothing is closed to tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import Http404
from django_tenants.utils import get_public_schema_name
from rest_framework import permissions
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

from tenants.models import ApiToken, Membership

if TYPE_CHECKING:
    from rest_framework.views import APIView


def membership_of(request: Request) -> Membership | None:
    """Return what the bearer of a token, or the session's person, is in this tenant; asked once a request."""
    tenant, user = getattr(request, "tenant", None), request.user
    if tenant is None or not user.is_authenticated or not user.is_active:
        return None
    if not hasattr(request._request, "_api_membership"):
        found = Membership.objects.select_related("user").filter(tenant=tenant, user=user).first()
        request._request._api_membership = found  # type: ignore[attr-defined]
    return request._request._api_membership  # type: ignore[attr-defined, no-any-return]


def remember_membership(request: Request, membership: Membership) -> None:
    """Spare `membership_of` the look-up that authentication has just made."""
    request._request._api_membership = membership  # type: ignore[attr-defined]


def scope_for(view: APIView, method: str | None) -> str | None:
    """Return the scope that a token needs for this, or None where tokens are not let in."""
    scopes = getattr(view, "required_scopes", None) or {}
    kind = "read" if method in permissions.SAFE_METHODS else "write"
    scope = scopes.get(getattr(view, "action", None)) or scopes.get(kind)
    return str(scope) if scope else None


def check_scope(request: Request, view: APIView) -> None:
    """Raises PermissionDenied for a token without the scope; people have no scopes."""
    if not isinstance(request.auth, ApiToken):
        return
    scope = scope_for(view, request.method)
    if scope is None:
        raise PermissionDenied("API tokens are not accepted here.")
    if scope not in request.auth.scopes:
        raise PermissionDenied(f"This token lacks the scope {scope}.")


class IsMember(permissions.BasePermission):
    """Members may read; what changes something is for owners and admins. A token needs the view's scope as well."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        membership = membership_of(request)
        if membership is None:
            if request.user.is_authenticated:
                raise Http404("not a member")  # a stranger is not told that the organisation exists
            return False
        check_scope(request, view)
        return request.method in permissions.SAFE_METHODS or membership.can_manage


class IsManager(IsMember):
    """Owners and admins, for reading too."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        membership = membership_of(request)
        return super().has_permission(request, view) and membership is not None and membership.can_manage


class IsInsider(permissions.BasePermission):
    """Members and tokens on an organisation's domain, staff on the public one, for what describes the API itself."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if membership_of(request) is not None:
            return True
        tenant = getattr(request, "tenant", None)
        is_public = tenant is None or tenant.schema_name == get_public_schema_name()
        if is_public and getattr(request.user, "is_staff", False):
            return True
        if request.user.is_authenticated:
            raise Http404("neither a member nor staff")
        return False
