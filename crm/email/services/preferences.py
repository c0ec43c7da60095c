"""What recipients decide for themselves, without signing in: a link in each message is their key.

Works for an organisation that is switched off as well: a wish not to be written to does not wait for it to come back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from crm.email.enums import SuppressionReason
from crm.email.models import EmailMessage, Suppression
from crm.email.services.consequences import lock_contacts, payload
from crm.email.services.links import LinkError, read_token
from crm.email.services.suppressing import lift, suppress
from crm.email.services.timeline import bring_up_to_date, note_wish
from crm.enums import FactSource
from crm.hooks.enums import Event
from crm.hooks.services.emitting import emit
from crm.models import Contact
from tenants.context import NoTenantError, find_tenant
from tenants.models import Tenant

_OWN = (SuppressionReason.UNSUBSCRIBED, SuppressionReason.SPAM)  # what recipients may take back themselves


@dataclass(frozen=True, slots=True)
class Preferences:
    is_subscribed: bool
    can_resubscribe: bool  # nobody but the recipient stands in the way


def find_link(token: str) -> tuple[Tenant, EmailMessage | None]:
    """Return whose message a link belongs to, and the message (None: deleted). Raises LinkError. Enters nothing."""
    from tenants.context import entered

    schema, message_id = read_token(token)
    try:
        tenant = find_tenant(schema)
    except NoTenantError:
        raise LinkError("This organisation is gone.") from None
    with entered(tenant):
        found = EmailMessage.objects.filter(pk=message_id).exclude(email_index="")
        return tenant, found.only("to_email", "email_index", "contact", "mailing", "unsubscribed_at").first()


def preferences_of(message: EmailMessage) -> Preferences:
    """Return where the message's recipient stands."""
    reasons = set(Suppression.objects.standing().for_address(message.to_email).values_list("reason", flat=True))
    facts = Contact.objects.live().with_email(message.to_email).filter(do_not_mail_at__isnull=False)
    sources = set(facts.values_list("do_not_mail_source", flat=True))
    unwanted = {*_OWN, SuppressionReason.PERSON}
    return Preferences(
        is_subscribed=not reasons & unwanted and not sources,
        can_resubscribe=bool(reasons & {*_OWN})
        and SuppressionReason.PERSON not in reasons
        and sources <= {FactSource.EMAIL},
    )


def unsubscribe(*, message: EmailMessage, now: datetime | None = None) -> bool:
    """Write to the message's recipient no more; False when that was so before. Safe to repeat."""
    now = now or timezone.now()
    with transaction.atomic():
        EmailMessage.objects.select_for_update(no_key=True).only("pk").get(pk=message.pk)
        lock_contacts([message.to_email])
        is_new = suppress(address=message.to_email, reason=SuppressionReason.UNSUBSCRIBED, message=message)
        is_first = EmailMessage.objects.filter(pk=message.pk, unsubscribed_at=None).update(unsubscribed_at=now)
        if is_new:
            note_wish(message=message, wish=SuppressionReason.UNSUBSCRIBED, at=now)
            data = payload(message.pk, message.contact_id, message.mailing_id, now) | {"reason": "unsubscribed"}
            key = f"unsubscribed:{message.pk}" if is_first else f"unsubscribed:{message.pk}:{now.timestamp():.0f}"
            emit(event=Event.EMAIL_UNSUBSCRIBED, data=data, key=key)
        if is_first:
            bring_up_to_date(message_ids=[message.pk])
    return is_new


def resubscribe(*, message: EmailMessage, now: datetime | None = None) -> bool:
    """Take back the recipient's own wish; False when there was none. What others entered stays."""
    now = now or timezone.now()
    with transaction.atomic():
        EmailMessage.objects.select_for_update(no_key=True).only("pk").get(pk=message.pk)
        lock_contacts([message.to_email])
        standing = Suppression.objects.standing().for_address(message.to_email).filter(reason__in=_OWN)
        lifted = sum(lift(suppression=one) for one in standing)
        if lifted:
            note_wish(message=message, wish=None, at=now)
    return bool(lifted)
