"""Forgetting one person for good, in every room at once. Runs inside the tenant."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from crm.blindparts import PART_LENGTH
from crm.erasing import Person, erasers
from crm.hooks.enums import DeliveryState, Event
from crm.hooks.models import WebhookDelivery
from crm.hooks.services.emitting import emit
from crm.models import Attachment, Contact, ContactChange, Interaction, MergeRecord
from crm.phones import spellings
from crm.services.attachments import delete_attachment
from crm.services.interactions import touch
from crm.signals import contacts_purged
from tenants.audit import record
from tenants.context import current_tenant
from tenants.enums import AuditAction
from tenants.models import User
from thanos.encryption import blind_indexes

ERASED = "Erased contact"  # what the row says that keeps a wish
CHUNK = 500
# What of a contact is somebody's own. The indexes of whole values stay where a wish has to be recognized.
_BLANK: dict[str, Any] = {
    "contact_name": ERASED,
    "business_name": "",
    "contact_email": "",
    "email_parts": [],
    "contact_role": "",
    "phones": [],
    "website": "",
    "address": "",
    "address_parts": [],
    "city": "",
    "state": "",
    "postal_code": "",
    "country": "",
    "value": None,
    "notes": "",
    "owner_id": None,
    "source": "",
    "tags": [],
    "custom_fields": {},
    "stripe_customer_id": "",
    "score": None,
    "score_reasons": [],
    "last_interaction_at": None,
    "open_task_count": 0,
    "merged_into": None,
}


@dataclass(frozen=True, slots=True)
class Reach:
    """Whom an erasure is about, and what it leaves because others use it too."""

    person: Person
    shared: tuple[str, ...] = ()  # numbers and addresses that other contacts have as well


def reach_of(*, contact: Contact | None = None, number: str = "", address: str = "") -> Reach:
    """Return the contacts, numbers and addresses of one person.

    By a contact: those merged with it as well. By a number or an address: all contacts that have it. What other contacts
    have too, such as a switchboard's number, stays: it does not tell whose calls and messages those are.
    """
    found = Contact.objects.filter(erased_at=None)
    wanted = Q(pk__in=_merged_with(contact) if contact else [])
    if number:
        wanted |= Q(phone_indexes__overlap=[index for form in spellings(number) for index in blind_indexes(form)])
    if address:
        wanted |= Q(email_index__in=blind_indexes(address))
    contacts = list(found.filter(wanted))
    ids = tuple(sorted(each.pk for each in contacts))
    numbers = {form for each in contacts for phone in each.phones for form in spellings(phone["number"])}
    addresses = {each.contact_email for each in contacts if each.contact_email}
    others = found.exclude(pk__in=ids)
    shared_numbers = {known for known in numbers if known != number and others.with_phone(known).exists()}
    shared_addresses = {known for known in addresses if known != address and others.with_email(known).exists()}
    numbers = (numbers - shared_numbers) | set(spellings(number) if number else ())
    addresses = (addresses - shared_addresses) | ({address} if address else set())
    person = Person(ids, tuple(sorted(numbers)), tuple(sorted(addresses)))
    return Reach(person, tuple(sorted(shared_numbers | shared_addresses)))


def _merged_with(contact: Contact) -> set[int]:
    known = {contact.pk}
    while True:
        near = Contact.objects.filter(Q(merged_into__in=known) | Q(pk__in=known))
        pairs = near.values_list("pk", "merged_into")
        wider = known | {pk for pair in pairs for pk in pair if pk is not None}
        if wider == known:
            return known
        known = wider


def erase_person(*, contact: Contact | None = None, number: str = "", address: str = "", by: User | None) -> dict[str, int]:
    """Forget a person in every room, in one transaction, and return how many rows of each kind that took.

    What stays: that somebody with this number or address wants no contact, as an index nobody can read; sums of money
    without a name; and one entry of the audit trail without personal data. Safe to repeat.
    """
    with transaction.atomic():
        person = reach_of(contact=contact, number=number, address=address).person
        list(Contact.objects.select_for_update().filter(pk__in=person.contact_ids).order_by("pk").values_list("pk"))
        counts: Counter[str] = Counter()
        for erase in erasers().values():  # before the contacts, by which they find their rows
            counts.update(erase(person))
        counts.update(_erase_own(person))
        found = {kind: count for kind, count in counts.items() if count}
        if found:
            ids = ", ".join(map(str, person.contact_ids)) or "none"
            target = f"one person erased for good (contacts: {ids})"
            record(AuditAction.CONTACTS_DELETED, tenant=current_tenant(), actor=by, target=target[:200])
    return found


def _erase_own(person: Person) -> dict[str, int]:
    entries = Interaction.objects.filter(
        Q(contact__in=person.contact_ids) | Q(contact=None, metadata__caller__number__in=person.numbers)
    )
    entry_ids = list(entries.values_list("pk", flat=True))
    files = list(Attachment.objects.filter(interaction__in=entry_ids))
    for attachment in files:
        delete_attachment(attachment=attachment)
    merges = MergeRecord.objects.filter(Q(kept__in=person.contact_ids) | Q(merged__in=person.contact_ids))
    merge_ids = list(merges.values_list("pk", flat=True))
    counts = {
        "timeline entries and tasks": len(entry_ids),
        "attached files": len(files),
        "webhook deliveries": _erase_deliveries(person, entry_ids, merge_ids),
        "snapshots": ContactChange.objects.filter(contact_id__in=person.contact_ids).delete()[0] + merges.delete()[0],
    }
    Interaction.objects.filter(pk__in=entry_ids).delete()
    contacts_purged.send(sender=Contact, contact_ids=list(person.contact_ids))
    counts["contacts"] = _blank(person.contact_ids)
    touch(*person.contact_ids)
    return counts


def _blank(ids: Iterable[int]) -> int:
    now = timezone.now()
    rows = Contact.objects.filter(pk__in=ids, erased_at=None)
    erased = list(rows.values_list("pk", flat=True))
    rows.update(**_BLANK, erased_at=now, deleted_at=now, updated_at=now, version=F("version") + 1)
    blanked = Contact.objects.filter(pk__in=erased)
    # Indexes of the last digits would still say which numbers belong together, so only those of whole numbers stay.
    for contact in blanked.exclude(do_not_call_at=None, do_not_mail_at=None):
        whole = [index for index in contact.phone_indexes if len(index) > PART_LENGTH]
        Contact.objects.filter(pk=contact.pk).update(phone_indexes=whole)
    blanked.filter(do_not_call_at=None, do_not_mail_at=None).update(phone_indexes=[], email_index="")
    for pk in erased:
        emit(event=Event.CONTACT_DELETED, data={"id": pk}, key=f"contact:{pk}:erased")
    return len(erased)


def _erase_deliveries(person: Person, entry_ids: Iterable[int], merge_ids: Iterable[int]) -> int:
    """Delete what was told, or is still to be told, to other programs about the person."""
    keys = [f"interaction:{pk}" for pk in entry_ids] + [f"merge:{pk}" for pk in merge_ids]
    about = Q(key__in=keys)
    for pk in person.contact_ids:
        about |= Q(key__startswith=f"contact:{pk}:")
    ids = set(WebhookDelivery.objects.filter(about).values_list("pk", flat=True))
    # Calls and e-mail have keys of their own: of those that wait, the sealed contents are looked at.
    traces = [*person.numbers, *person.addresses]
    waiting = WebhookDelivery.objects.filter(state=DeliveryState.PENDING).exclude(pk__in=ids)
    for delivery in waiting.only("pk", "payload").iterator(chunk_size=CHUNK):
        payload = delivery.payload if isinstance(delivery.payload, dict) else {}
        text = json.dumps(payload, ensure_ascii=False)
        if payload.get("contact") in person.contact_ids or any(trace in text for trace in traces):
            ids.add(delivery.pk)
    WebhookDelivery.objects.filter(pk__in=ids).delete()
    return len(ids)
