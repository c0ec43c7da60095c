"""Who wants no text messages: noted from keywords, from the carrier and by people, and asked before every text."""

from __future__ import annotations

from crm.phones import spellings
from crm.services import contactability
from crm.services.contactability import Channel, Refusal, Whom
from telephony.texting.enums import Consent, ConsentSource
from telephony.texting.models import ConsentEvent, Message
from tenants.audit import record
from tenants.context import current_tenant
from tenants.enums import AuditAction
from tenants.models import User
from thanos.encryption import blind_indexes


def wish_of(number: str) -> ConsentEvent | None:
    """Return the newest wish of a number, in any of its spellings."""
    indexes = [index for form in spellings(number) for index in blind_indexes(form)]
    return ConsentEvent.objects.filter(number_index__in=indexes).order_by("-id").first()


def has_opted_out(number: str) -> bool:
    wish = wish_of(number)
    return wish is not None and wish.consent == Consent.STOP


def note_wish(
    *,
    number: str,
    consent: Consent,
    source: ConsentSource,
    own_number: str = "",
    words: str = "",
    message: Message | None = None,
    by: User | None = None,
) -> bool:
    """Note that a number wants no text messages, or takes them again; return whether that is news.

    Run it inside a transaction: the audit trail is written with it. A wish that stands already is not written again.
    """
    if message is not None and ConsentEvent.objects.filter(message=message).exists():
        return False  # the same news again
    before = wish_of(number)
    if consent == (before.consent if before is not None else Consent.START):
        return False
    event = ConsentEvent.objects.create(  # type: ignore[misc]  # stubs take an encrypted field for text
        number=number, consent=consent, source=source, own_number=own_number, words=words, message=message, user=by
    )
    # The number itself stays out of the trail: it is kept encrypted, here as elsewhere.
    line = f"text messages, wish {event.pk}: {event.get_consent_display().lower()} ({event.get_source_display().lower()})"
    record(AuditAction.DO_NOT_CONTACT, tenant=current_tenant(), actor=by, target=line)
    return True


def _check(whom: Whom) -> Refusal | None:
    if not whom.number:
        return None
    wish = wish_of(whom.number)
    if wish is None or wish.consent != Consent.STOP:
        return None
    said = {
        ConsentSource.TEXT: "They asked for no more text messages. They can write START to get them again.",
        ConsentSource.CARRIER: "The carrier says that they want no text messages. They can write START to get them again.",
        ConsentSource.PERSON: "Somebody noted that they want no text messages.",
    }
    return Refusal("opted-out", said[ConsentSource(wish.source)])


contactability.register(Channel.TEXT, _check)
