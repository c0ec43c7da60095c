"""The trail of who did what to whom."""

from __future__ import annotations

from django.http import HttpRequest

from tenants.context import in_public
from tenants.enums import AuditAction
from tenants.models import AuditEvent, Tenant, User


def record(
    action: AuditAction,
    *,
    tenant: Tenant | None,
    actor: User | None = None,
    target: str = "",
    ip_address: str | None = None,
    tenant_name: str = "",
) -> AuditEvent:
    """Write one audit event, in the transaction that is open."""
    with in_public():
        return AuditEvent.objects.create(
            tenant=tenant,
            tenant_name=tenant_name or (tenant.name if tenant else ""),
            actor=actor,
            action=action,
            target=target,
            ip_address=ip_address,
        )


def record_request(request: HttpRequest, action: AuditAction, *, target: str = "") -> AuditEvent:
    actor = request.user if isinstance(request.user, User) else None
    tenant = getattr(request, "tenant", None)
    return record(action, tenant=tenant, actor=actor, target=target, ip_address=client_address(request))


def client_address(request: HttpRequest) -> str | None:
    """The peer's address; behind a proxy, uvicorn has already put the forwarded one there."""
    return request.META.get("REMOTE_ADDR") or None
