"""Telephone numbers and the organisations they belong to."""

from __future__ import annotations

from django.db import IntegrityError, transaction

from tenants.audit import record
from tenants.context import entered, in_public
from tenants.enums import AuditAction
from tenants.models import E164, PhoneNumber, Tenant, User
from tenants.signals import number_attached


class NumberError(ValueError):
    """The number cannot be attached; the text says why."""


def attach_number(*, number: str, tenant: Tenant, twilio_sid: str = "", actor: User | None = None) -> PhoneNumber:
    """Give a number to a tenant, with a line that answers it. Raises NumberError when malformed or somebody else's."""
    from django.core.exceptions import ValidationError

    try:
        E164(number)
    except ValidationError as error:
        raise NumberError(error.messages[0]) from None
    try:
        with in_public(), transaction.atomic():
            row = PhoneNumber.objects.create(number=number, tenant=tenant, twilio_sid=twilio_sid)
            announce(row)
            record(AuditAction.NUMBER_ATTACHED, tenant=tenant, actor=actor, target=f"number {row.pk}")
    except IntegrityError:
        owner = PhoneNumber.objects.select_related("tenant").get(number=number).tenant
        raise NumberError(f"{number} already belongs to {owner.name}.") from None
    return row


def announce(number: PhoneNumber) -> None:
    """Let the rooms above prepare for a number; repeated when it moves to another tenant."""
    with entered(number.tenant):
        number_attached.send(sender=PhoneNumber, tenant=number.tenant, phone_number=number)
