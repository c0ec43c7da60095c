"""Addresses nobody of the organisation writes to any more. Everything here runs inside the tenant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils import timezone

from crm.email.enums import EnrolmentState, SkipReason, SuppressionReason
from crm.email.models import EmailMessage, Suppression
from crm.email.providers.payload import ascii_address
from crm.email.providers.suppression_api import forget
from crm.email.services.sequences import stop_for_contact
from crm.enums import FactSource
from crm.models import Contact
from crm.services.contacts import set_do_not_contact, update_contact
from tenants import audit
from tenants.celery import publish
from tenants.context import current_tenant
from tenants.enums import AuditAction
from thanos.encryption import blind_index, blind_indexes

if TYPE_CHECKING:
    from tenants.models import User

# What weighs most comes first: of several reasons, that one is shown.
SKIPS: dict[SuppressionReason, SkipReason] = {
    SuppressionReason.SPAM: SkipReason.SPAM,
    SuppressionReason.UNSUBSCRIBED: SkipReason.UNSUBSCRIBED,
    SuppressionReason.PERSON: SkipReason.DO_NOT_MAIL,
    SuppressionReason.BOUNCED: SkipReason.BOUNCED,
    SuppressionReason.INVALID: SkipReason.INVALID_ADDRESS,
}
# Facts the provider notes for the whole account, and drops what is sent to such an address.
_AT_THE_PROVIDER = (SuppressionReason.BOUNCED, SuppressionReason.INVALID)
# A wish of a person, which goes with them when their address changes.
_WISHES = (SuppressionReason.UNSUBSCRIBED, SuppressionReason.SPAM)


def suppress(
    *,
    address: str,
    reason: SuppressionReason | str,
    message: EmailMessage | None = None,
    detail: str = "",
    by: User | None = None,
) -> bool:
    """Write to an address no more, and note the wish with its contacts; False when that was so before."""
    address = address.strip()
    if not address:
        return False
    with transaction.atomic():
        standing = Suppression.objects.standing().for_address(address).filter(reason=reason)
        if standing.exists() or not _insert(address, reason, message, detail):
            return False
        if reason in _WISHES:
            for contact in Contact.objects.with_email(address).filter(do_not_mail_at=None, merged_into=None).order_by("pk"):
                set_do_not_contact(contact=contact, source=FactSource.EMAIL, call=False)
        ended = EnrolmentState.UNSUBSCRIBED if reason in _WISHES else EnrolmentState.BLOCKED
        for pk in Contact.objects.with_email(address).order_by("pk").values_list("pk", flat=True):
            stop_for_contact(contact_id=pk, reason=ended)
        if by is not None:
            _record(by, f"suppression added: {SuppressionReason(reason).label}")
    return True


def _insert(address: str, reason: str, message: EmailMessage | None, detail: str) -> bool:
    row = Suppression(email=address, email_index=blind_index(address), reason=reason, detail=detail[:200], message=message)
    # Of two at the same moment, one writes it: the other's row is passed over by the constraint.
    Suppression.objects.bulk_create([row], ignore_conflicts=True)
    return bool(Suppression.objects.filter(email_index=row.email_index, created_at=row.created_at).exists())


def lift(*, address: str = "", suppression: Suppression | None = None, by: User | None = None) -> int:
    """Take back what keeps an address from being written to, or one reason of it; return how many were taken back.

    With `by` None the recipient has changed their mind. A do-not-mail fact goes with the last wish of the recipient, if
    it came from e-mail: one that was said on the phone, or entered by a person, stays.
    """
    address = address or (suppression.email if suppression else "")
    with transaction.atomic():
        standing = Suppression.objects.standing()
        standing = standing.filter(pk=suppression.pk) if suppression is not None else standing.for_address(address)
        refused = list(standing.filter(reason__in=_AT_THE_PROVIDER).values_list("pk", flat=True))
        lifted = int(standing.update(lifted_at=timezone.now(), lifted_by=by.pk if by else None))
        if refused:
            _lift_at_provider_later(refused)
        wishes = Suppression.objects.standing().for_address(address).filter(reason__in=_WISHES)
        if lifted and not wishes.exists():
            noted = Contact.objects.with_email(address).filter(do_not_mail_source=FactSource.EMAIL)
            for contact in noted.order_by("pk"):
                update_contact(contact=contact, values={"do_not_mail": False}, source=FactSource.EMAIL)
        if lifted and by is not None:
            _record(by, f"suppression lifted: {lifted}")
    return lifted


def _lift_at_provider_later(suppression_ids: list[int]) -> None:
    from crm.email.tasks.suppressions import lift_at_provider

    for pk in suppression_ids:
        transaction.on_commit(partial(publish, lift_at_provider, suppression_id=pk))


def lift_at_provider(*, suppression_id: int) -> None:
    """Have the provider deliver again to an address whose suppression was lifted here. Raises SuppressionApiError."""
    row = Suppression.objects.filter(pk=suppression_id, lifted_at__isnull=False).first()
    if row is None or Suppression.objects.standing().for_address(row.email).filter(reason=row.reason).exists():
        return  # it bounced again meanwhile
    forget(address=row.email, reason=row.reason)


def _record(by: User, target: str) -> None:
    audit.record(AuditAction.SUPPRESSION_CHANGED, tenant=current_tenant(), actor=by, target=target)


def is_address(text: str) -> bool:
    """Tell whether a provider can be asked to write to this: the validator lets domains pass that DNS cannot have."""
    try:
        validate_email(text)
        written = ascii_address(text)
    except (ValidationError, UnicodeError):
        return False
    return written.isascii() and len(written) <= 254


def reason_for(*, contact: Contact | None = None, address: str) -> SkipReason | None:
    """Return why this contact, or this address, cannot be written to; None when it can."""
    return skip_reasons([(contact, address)])[0]


def skip_reasons(rows: Sequence[tuple[Contact | None, str]]) -> list[SkipReason | None]:
    """Return for each contact and address why it is not written to, in one query."""
    suppressed = suppressed_among(address for _, address in rows)
    return [_reason(contact, address, suppressed) for contact, address in rows]


def _reason(contact: Contact | None, address: str, suppressed: dict[str, SkipReason]) -> SkipReason | None:
    if contact is not None and contact.deleted_at is not None and contact.merged_into_id is None:
        return SkipReason.GONE
    if not address:
        return SkipReason.NO_ADDRESS
    if not is_address(address):
        return SkipReason.INVALID_ADDRESS
    if contact is not None and contact.do_not_mail_at is not None:
        return SkipReason.DO_NOT_MAIL
    return suppressed.get(blind_index(address))


def suppressed_among(addresses: Iterable[str]) -> dict[str, SkipReason]:
    """Return the suppressed ones by their (first) blind index."""
    by_index = {index: blind_index(address) for address in addresses if address for index in blind_indexes(address)}
    found: dict[str, SkipReason] = {}
    standing = Suppression.objects.standing().filter(email_index__in=list(by_index))
    reasons: dict[str, set[str]] = {}
    for index, reason in standing.values_list("email_index", "reason"):
        reasons.setdefault(by_index[index], set()).add(reason)
    for index, several in reasons.items():
        found[index] = next(skip for reason, skip in SKIPS.items() if reason in several)
    return found
