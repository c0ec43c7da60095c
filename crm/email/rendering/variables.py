"""What a template may write about: fields of the contact, the organisation, and links made at the moment of sending."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from crm.contactfields import FIELDS
from crm.email.models.setup import email_settings
from crm.email.rendering.renderer import inspect
from crm.email.rendering.sources import Source
from crm.enums import FieldType
from crm.fieldtypes import to_text
from crm.models import Contact, CustomField
from crm.names import given_name
from tenants.context import current_tenant, in_public
from tenants.models import PhoneNumber, Tenant

LINKS = ("unsubscribe_url", "preferences_url")
# In a message to one person these would tell them what was noted about them.
_PRIVATE = frozenset({"notes", "tags", "stripe_customer_id", "do_not_call", "do_not_mail", "source", "phones"})
_EXAMPLES = {
    "contact_name": "Ann Miller",
    "business_name": "Miller & Sons",
    "contact_email": "ann@example.com",
    "contact_role": "Manager",
    "website": "https://example.com",
    "address": "1 High Street",
    "city": "Springfield",
    "state": "Oregon",
    "postal_code": "97477",
    "country": "United States",
    "status": "customer",
    "value": "1200.00",
}
_FIELD_EXAMPLES = {
    FieldType.NUMBER: "12",
    FieldType.MONEY: "120.00",
    FieldType.DATE: "2026-11-20",
    FieldType.DATE_TIME: "2026-11-20 14:30",
    FieldType.EMAIL: "ann@example.com",
    FieldType.PHONE: "+15550100",
    FieldType.URL: "https://example.com",
    FieldType.BOOLEAN: "yes",
}
# What rooms beside this one know of a contact: the label, an example, and how it is read.
_MORE: dict[str, tuple[str, str, Callable[[Contact], Any]]] = {}
OWN_PREFIX = "custom_"  # before the key of a custom field that would hide a built-in name


@dataclass(frozen=True, slots=True)
class Variable:
    name: str
    label: str
    example: str  # what it may look like; not anybody's value
    kind: str  # "contact", "custom", "organization" or "link"


def register(name: str, label: str, example: str, read: Callable[[Contact], Any]) -> None:
    """Offer templates one more value of each contact; "" where there is none."""
    _MORE[name] = (label, example, read)


@dataclass(frozen=True, slots=True)
class Use:
    name: str
    part: str
    line: int
    is_printed_bare: bool  # with nothing in its place when it is empty


def found_in(source: Source) -> list[Use]:
    """Return the names a template asks for, with where. Parts that cannot be read have none; see `checks`."""
    return [Use(*use) for use in inspect(source)["uses"]]


def names_in(source: Source) -> list[str]:
    return sorted({use.name for use in found_in(source)})


def catalogue() -> dict[str, Variable]:
    """Return what there is in the entered tenant, by name, in the order to show it."""
    found = [Variable("first_name", "First name", "Ann", "contact")]
    found += (
        Variable(key, field.label, _EXAMPLES.get(key, ""), "contact")
        for key, field in FIELDS.items()
        if key not in _PRIVATE
    )
    found.append(Variable("phone", "Phone", "+15550100", "contact"))
    found += (Variable(name, label, example, "contact") for name, (label, example, _) in _MORE.items())
    for field in CustomField.objects.filter(is_active=True):
        example = str(field.options[0]) if field.options else _FIELD_EXAMPLES.get(FieldType(field.type), "")
        found.append(Variable(_name_of(field), field.label, example, "custom"))
    tenant = current_tenant()
    for name, (label, read) in _ORGANIZATION.items():
        found.append(Variable(name, label, read(tenant), "organization"))
    found.append(Variable("unsubscribe_url", "Link to unsubscribe", "", "link"))
    found.append(Variable("preferences_url", "Link to the preferences", "", "link"))
    return {variable.name: variable for variable in found}


def values_for(*, contacts: Sequence[Contact], names: Collection[str]) -> list[dict[str, Any]]:
    """Return each contact's values of the names asked for, ready for JSON; what is unknown is "".

    Links are left out: they are made when a message is sent. So is a name that stands for nothing at all, such as a
    custom field that was deleted: rendering fails then, rather than leaving a gap in somebody's inbox.
    """
    readers = _readers(set(names) - set(LINKS))
    return [{name: read(contact) for name, read in readers.items()} for contact in contacts]


Read = Callable[[Contact], Any]


def _readers(names: set[str]) -> dict[str, Read]:
    tenant = current_tenant()
    readers: dict[str, Read] = {}
    for name in names & set(_ORGANIZATION):
        readers[name] = _always(_ORGANIZATION[name][1](tenant))
    for name in names & set(_CONTACT):
        readers[name] = _CONTACT[name]
    for name in names & set(_MORE):
        readers[name] = _MORE[name][2]
    rest = names - set(readers)
    if rest:
        zone = ZoneInfo(tenant.time_zone)
        keys = {name.removeprefix(OWN_PREFIX) for name in rest} | rest
        for field in CustomField.objects.filter(key__in=keys):
            if _name_of(field) in rest:
                readers[_name_of(field)] = _custom(field, zone)
    return readers


def _name_of(field: CustomField) -> str:
    taken = field.key in _CONTACT or field.key in _MORE or field.key in _ORGANIZATION or field.key in LINKS
    return OWN_PREFIX + field.key if taken else field.key


def _always(value: str) -> Read:
    return lambda contact: value


def _custom(field: CustomField, zone: ZoneInfo) -> Read:
    """Numbers and truths stay what they are, so that a template can compare them."""
    is_plain = field.type in (FieldType.NUMBER, FieldType.BOOLEAN)

    def read(contact: Contact) -> Any:
        value = contact.custom_fields.get(field.key)
        if value is None:
            return ""
        return value if is_plain and isinstance(value, int | float) else to_text(field, value, zone)

    return read


def _first_name(contact: Contact) -> str:
    """The name somebody is called by; empty where it cannot be told, so that a template's fallback is used."""
    return given_name(contact.contact_name)


_CONTACT: dict[str, Read] = {
    **{key: field.text for key, field in FIELDS.items() if key not in _PRIVATE},
    "first_name": _first_name,
    "phone": lambda contact: contact.phone,
}


def _organization_phone(tenant: Tenant) -> str:
    with in_public():
        number = PhoneNumber.objects.filter(tenant=tenant, is_active=True).first()
    return number.number if number else ""


_ORGANIZATION: dict[str, tuple[str, Callable[[Tenant], str]]] = {
    "organization_name": ("Your organisation", lambda tenant: str(tenant.name)),
    "organization_phone": ("Your phone number", _organization_phone),
    "sender_name": ("Sender's name", lambda tenant: email_settings().from_name or str(tenant.name)),
    "postal_address": ("Your postal address", lambda _: email_settings().postal_address),
}
