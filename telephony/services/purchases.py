"""Numbers at the carrier: bought or attached, pointed at our webhooks, and given to an organisation."""

from __future__ import annotations

from telephony.services.carrier import carrier, number_webhooks
from tenants.audit import record
from tenants.enums import AuditAction
from tenants.models import PhoneNumber, Tenant, User
from tenants.services.numbers import NumberError, attach_number


def buy_number(*, number: str, tenant: Tenant, actor: User | None = None) -> PhoneNumber:
    """Buy a number and give it to a tenant. A double submit buys once. Raises NumberError or TelephonyError."""
    _check_free(number, tenant)
    owned = carrier().buy(number, number_webhooks())
    record(AuditAction.NUMBER_BOUGHT, tenant=tenant, actor=actor, target=f"number {owned.sid}")
    return _give(owned.number, owned.sid, tenant, actor)


def attach_owned_number(*, number: str, tenant: Tenant, actor: User | None = None) -> PhoneNumber:
    """Point a number the account owns at us and give it to a tenant. Raises NumberError or TelephonyError."""
    _check_free(number, tenant)
    owned = carrier().find_owned(number)
    if owned is None:
        raise NumberError(f"the carrier's account does not own {number}")
    carrier().point_at_us(owned.sid, number_webhooks())
    return _give(owned.number, owned.sid, tenant, actor)


def _check_free(number: str, tenant: Tenant) -> None:
    """Before money is spent: a number somebody else has here must not be taken from them."""
    other = PhoneNumber.objects.filter(number=number).exclude(tenant=tenant).select_related("tenant").first()
    if other is not None:
        raise NumberError(f"{number} already belongs to {other.tenant.name}")


def _give(number: str, sid: str, tenant: Tenant, actor: User | None) -> PhoneNumber:
    row = PhoneNumber.objects.filter(number=number, tenant=tenant).first()
    if row is None:
        return attach_number(number=number, tenant=tenant, twilio_sid=sid, actor=actor)
    PhoneNumber.objects.filter(pk=row.pk).update(twilio_sid=sid)
    row.twilio_sid = sid
    return row
