"""Making, changing and finding again one contact. Everything here runs inside the tenant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import BooleanField, F, Q
from django.db.models.expressions import RawSQL
from django.db.models.functions import Lower
from django.utils import timezone

from base.text import to_stored
from base.words import fold
from crm import blindparts
from crm.contactfields import clean_tags
from crm.enums import FactSource
from crm.hooks.enums import Event
from crm.hooks.services.emitting import emit
from crm.models import Contact, Tag
from crm.services.contactability import note_wishes
from crm.services.payloads import contact_payload
from crm.services.scoring import rescore_later
from tenants.models import User
from thanos.encryption import blind_index, blind_indexes

PERSONAL = ("contact_email", "phones")  # fields with a blind index beside them
FLAGS = ("do_not_call", "do_not_mail")
SAME_WORDS = 50  # of those with the same words, how many are compared
_DERIVED = ("email_index", "email_parts", "phone_indexes", "address_parts")


class ConflictError(Exception):
    """Somebody else changed the contact first; `current` is how it is now."""

    def __init__(self, current: Contact) -> None:
        super().__init__("the contact was changed meanwhile")
        self.current = current


def create_contact(*, values: Mapping[str, Any], by: User | None, source: FactSource = FactSource.PERSON) -> Contact:
    """Make a contact of checked values (crm.contactfields, and `custom_fields`, `owner`, `do_not_…` as a truth)."""
    contact = Contact(created_by=by)
    for name, value in columns(values, source=source).items():
        setattr(contact, name, value)
    with transaction.atomic():
        contact.save(force_insert=True)
        note_wishes(contact_id=contact.pk, before=None, changed=vars(contact), by=by)
        remember_tags(contact.tags)
        emit(event=Event.CONTACT_CREATED, data=contact_payload(contact), key=f"contact:{contact.pk}:{contact.version}")
    rescore_later([contact.pk])
    return contact


def update_contact(
    *,
    contact: Contact,
    values: Mapping[str, Any],
    version: int | None = None,
    source: FactSource = FactSource.PERSON,
    by: User | None = None,
) -> Contact:
    """Change a contact and return it as it is then. With a `version`, only if it is still that one.

    Without, what was merged meanwhile is changed where it went. Raises ConflictError. Nothing is written when nothing
    would change.
    """
    with transaction.atomic():
        current = _locked(contact.pk, follow=version is None)
        if version is not None and (current.version != version or current.deleted_at is not None):
            raise ConflictError(current)
        wanted = columns(values, source=source, contact=current)
        changed = {name: value for name, value in wanted.items() if getattr(current, name) != value}
        if not changed:
            return current
        now = timezone.now()
        Contact.objects.filter(pk=current.pk).update(**changed, version=F("version") + 1, updated_at=now)
        note_wishes(contact_id=current.pk, before=current, changed=changed, by=by)
        after: Contact = Contact.objects.get(pk=current.pk)
        remember_tags(after.tags)
        payload = {**contact_payload(after), "changed": sorted(name for name in changed if name not in _DERIVED)}
        emit(event=Event.CONTACT_CHANGED, data=payload, key=f"contact:{after.pk}:{after.version}")
    rescore_later([after.pk])
    return after


def _locked(pk: int, *, follow: bool) -> Contact:
    contact: Contact = Contact.objects.select_for_update().get(pk=pk)
    while follow and contact.merged_into_id is not None:
        contact = Contact.objects.select_for_update().get(pk=contact.merged_into_id)
    return contact


def columns(
    values: Mapping[str, Any],
    *,
    source: FactSource = FactSource.PERSON,
    contact: Contact | None = None,
    now: datetime | None = None,
) -> dict[str, Any]:
    """Return what the columns hold for checked values: blind indexes and dates of facts included."""
    found: dict[str, Any] = {
        name: to_stored(value) if isinstance(value, str) else value for name, value in values.items() if name not in FLAGS
    }
    if "tags" in found:
        found["tags"] = clean_tags(found["tags"])
    if "contact_email" in found:
        found["email_index"] = blind_index(found["contact_email"])
        found["email_parts"] = blindparts.email_parts(found["contact_email"])
    if "phones" in found:
        found["phone_indexes"] = blindparts.phone_indexes(found["phones"])
    if "address" in found:
        found["address_parts"] = blindparts.address_parts(found["address"])
    for flag in FLAGS:
        if flag in values:
            had = getattr(contact, f"{flag}_at") if contact else None
            found[f"{flag}_at"] = (had or now or timezone.now()) if values[flag] else None
            had_source = getattr(contact, f"{flag}_source") if had else ""
            found[f"{flag}_source"] = (had_source or source) if values[flag] else ""
    return found


def remember_tags(names: Iterable[str]) -> None:
    """Put tags that are new to the tenant on its list."""
    wanted = set(names)
    if new := wanted - set(Tag.objects.filter(name__in=wanted).values_list("name", flat=True)) if wanted else set():
        Tag.objects.bulk_create((Tag(name=name) for name in sorted(new)), ignore_conflicts=True)


def set_do_not_contact(
    *, contact: Contact, source: FactSource, call: bool = True, mail: bool = True, by: User | None = None
) -> Contact:
    """Note that somebody wants no calls, no mail, or neither. What was noted before keeps its date and source."""
    values = {name: True for name, asked in (("do_not_call", call), ("do_not_mail", mail)) if asked}
    return update_contact(contact=contact, values=values, source=source, by=by)


def bin_contacts(*, ids: Iterable[int], now: datetime | None = None) -> int:
    """Put contacts into the bin, from which they come back for thirty days; return how many."""
    now = now or timezone.now()
    with transaction.atomic():
        changed = Contact.objects.live().filter(pk__in=ids)
        gone = list(changed.values_list("pk", flat=True))
        Contact.objects.filter(pk__in=gone).update(deleted_at=now, version=F("version") + 1, updated_at=now)
        for pk in gone:
            emit(event=Event.CONTACT_DELETED, data={"id": pk}, key=f"contact:{pk}:deleted:{now.timestamp():.0f}")
    return len(gone)


def restore_contact(*, contact: Contact) -> bool:
    """Take a contact out of the bin; False when it is not there, or was merged."""
    with transaction.atomic():
        restored = Contact.objects.filter(pk=contact.pk, deleted_at__isnull=False, merged_into=None, erased_at=None).update(
            deleted_at=None, version=F("version") + 1, updated_at=timezone.now()
        )
        if restored:
            after = Contact.objects.get(pk=contact.pk)
            emit(event=Event.CONTACT_CREATED, data=contact_payload(after), key=f"contact:{after.pk}:{after.version}")
    return bool(restored)


@dataclass(frozen=True, slots=True)
class Duplicate:
    contact: Contact
    reasons: list[str]


def find_duplicates(
    *,
    email: str = "",
    numbers: Iterable[str] = (),
    contact_name: str = "",
    business_name: str = "",
    exclude: int | None = None,
    limit: int = 5,
) -> list[Duplicate]:
    """Return contacts with the same e-mail address, one of the numbers, or the same name in the same business."""
    email_indexes = blind_indexes(email)
    number_indexes = [index for number in numbers for index in blind_indexes(number)]
    same_name = Q(lower_name=contact_name.lower(), lower_business=business_name.lower()) if contact_name else None
    rules = [Q(email_index__in=email_indexes)] * bool(email_indexes)
    rules += [Q(phone_indexes__overlap=number_indexes)] * bool(number_indexes)
    rules += [same_name & ~Q(contact_name="")] if same_name is not None and business_name else []
    rules += [Q(sort_name=contact_name.lower(), business_name="")] if contact_name and not business_name else []
    same_words = Q(RawSQL("crm_contact.search @@ public.crm_query(%s)", [contact_name], output_field=BooleanField()))
    found: dict[int, Contact] = {}
    named = Contact.objects.live().annotate(lower_name=F("sort_name"), lower_business=Lower("business_name"))
    for rule in rules:  # each by its own index; one question with OR would read the whole table
        for contact in named.filter(rule).exclude(pk=exclude)[:limit]:  # type: ignore[misc]
            found.setdefault(contact.pk, contact)
    if contact_name:  # `Jose Garcia` is `José García`
        for contact in named.filter(same_words).exclude(pk=exclude)[:SAME_WORDS]:  # type: ignore[misc]
            if _is_namesake(contact, contact_name, business_name):
                found.setdefault(contact.pk, contact)
    return [
        Duplicate(contact, _reasons(contact, set(email_indexes), set(number_indexes), contact_name, business_name))
        for contact in list(found.values())[:limit]
    ]


def _is_namesake(contact: Contact, name: str, business: str) -> bool:
    return fold(contact.contact_name) == fold(name) and fold(contact.business_name) == fold(business)


def _reasons(contact: Contact, emails: set[str], numbers: set[str], name: str, business: str) -> list[str]:
    reasons = []
    if contact.email_index in emails:
        reasons.append("same e-mail address")
    if numbers & set(contact.phone_indexes):
        reasons.append("same number")
    if name and _is_namesake(contact, name, business):
        reasons.append("same name in the same business" if business else "same name")
    return reasons
