from __future__ import annotations

from django.db.models import Exists, F, OuterRef, QuerySet
from django.utils import timezone

from tenants.enums import Role
from tenants.models import ApiToken, Invitation, Membership, Tenant, User


def people(tenant: Tenant) -> QuerySet[Membership]:
    return Membership.objects.filter(tenant=tenant).select_related("user").order_by("user__name", "user__email")


def open_invitations(tenant: Tenant) -> QuerySet[Invitation]:
    return Invitation.objects.filter(tenant=tenant, accepted_at=None, expires_at__gt=timezone.now())


def tenants_of(user: User) -> list[Tenant]:
    """Return the active organisations a person belongs to."""
    memberships = Membership.objects.filter(user=user, tenant__is_active=True).select_related("tenant")
    ordered = memberships.order_by("tenant__name").prefetch_related("tenant__domains")
    return [membership.tenant for membership in ordered]


def tokens_of(tenant: Tenant) -> QuerySet[ApiToken]:
    """An organisation's API tokens, those that were taken back last, with whether their maker may still have them."""
    maker = Membership.objects.filter(
        tenant=tenant, user=OuterRef("created_by"), user__is_active=True, role__in=[Role.OWNER, Role.ADMIN]
    )
    tokens = ApiToken.objects.filter(tenant=tenant).select_related("created_by")
    return tokens.annotate(has_maker=Exists(maker)).order_by(F("revoked_at").desc(nulls_first=True), "-created_at", "-pk")
