"""Who works with contacts."""

from __future__ import annotations

from tenants.models import Membership, Tenant, User


def people_of(tenant: Tenant) -> list[User]:
    """Return whoever may own a contact: the tenant's owners and admins."""
    memberships = Membership.objects.filter(tenant=tenant, user__is_active=True).select_related("user")
    return [membership.user for membership in memberships if membership.can_manage]
