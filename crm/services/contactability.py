"""May somebody be contacted, by this channel, now? Asked at the moment of sending, by whoever sends: people, agents, rules.

A wish is the person's, not a row's: it holds for every contact with the same number or address, in any spelling, also for
one that was deleted. "Do not call me" said in a call holds for texts as well. Rooms above register what else stands in the
way of a channel, such as a STOP that was written in a text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, TextChoices

from crm.enums import FactSource
from crm.models import Contact
from crm.phones import spellings
from tenants.audit import record
from tenants.context import current_tenant
from tenants.enums import AuditAction
from tenants.models import User
from thanos.encryption import blind_indexes


class Channel(TextChoices):
    CALL = "call", "calls"
    TEXT = "text", "text messages"
    EMAIL = "email", "e-mail"


# The fact on a contact that closes a channel.
_FACT = {Channel.CALL: "do_not_call_at", Channel.TEXT: "do_not_call_at", Channel.EMAIL: "do_not_mail_at"}
_CLOSES = {"do_not_call_at": "calls and text messages", "do_not_mail_at": "e-mail"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why somebody must not be contacted: a code for programs, a sentence for people."""

    code: str
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Whom:
    number: str = ""  # E.164
    address: str = ""
    contact: Contact | None = None


Check = Callable[[Whom], Refusal | None]
_checks: dict[Channel, list[Check]] = {}


def register(channel: Channel, check: Check) -> None:
    """Have a room above asked too. A check runs inside the tenant, and answers with a refusal or None."""
    known = _checks.setdefault(channel, [])
    if check not in known:
        known.append(check)


def may_contact(*, channel: Channel, number: str = "", address: str = "", contact: Contact | None = None) -> Refusal | None:
    """Return why this person must not be contacted by this channel now; None when they may. Must run inside the tenant."""
    fact = _FACT[channel]
    asked = Contact.objects.filter(_same_person(number, address, contact), **{f"{fact}__isnull": False})
    found = asked.order_by(fact).first()
    if found is not None:
        source = FactSource(getattr(found, fact.replace("_at", "_source")) or FactSource.PERSON).label.lower()
        return Refusal("do-not-contact", f"They do not want {channel.label} ({source}). Nothing was sent.")
    whom = Whom(number, address, contact)
    return next((refusal for check in _checks.get(channel, []) if (refusal := check(whom)) is not None), None)


def _same_person(number: str, address: str, contact: Contact | None) -> Q:
    who = Q(pk=contact.pk) if contact is not None else Q(pk=None)
    if number:
        who |= Q(phone_indexes__overlap=[index for form in spellings(number) for index in blind_indexes(form)])
    if address:
        who |= Q(email_index__in=blind_indexes(address))
    return who


def note_wishes(
    *, contact_id: int, before: Contact | None, changed: Mapping[str, Any], by: User | None = None
) -> list[str]:
    """Put each wish that was set or taken back into the audit trail, with its source; return what was written.

    `changed` are the columns that get new values. Call it in the transaction that changes them.
    """
    lines = []
    for fact, closes in _CLOSES.items():
        if fact not in changed:
            continue
        was, now = getattr(before, fact, None) is not None, changed[fact] is not None
        if was == now:
            continue
        name = fact.replace("_at", "_source")
        source = changed.get(name) if now else getattr(before, name, "")
        known = FactSource(source).label.lower() if source else "source unknown"
        wish = f"wants no {closes} ({known})" if now else f"may get {closes} again (was: {known})"
        lines.append(f"contact {contact_id}: {wish}")
    for line in lines:
        record(AuditAction.DO_NOT_CONTACT, tenant=current_tenant(), actor=by, target=line)
    return lines
