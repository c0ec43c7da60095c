"""Two people edited one contact: what the second sees of both versions, and what they take of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crm.contactfields import FIELDS
from crm.models import Contact, CustomField
from crm.services.contacts import columns
from tenants.models import User

TAKE = "take_"


@dataclass(frozen=True, slots=True)
class Difference:
    name: str  # of the checkbox that takes the saved value
    label: str
    saved: str
    mine: str


def differences(values: Mapping[str, Any], current: Contact) -> list[Difference]:
    """Return the fields in which what somebody wants to save differs from what is saved now."""
    wanted = Contact(**columns(values, contact=current))
    found = []
    for key, field in FIELDS.items():
        saved, mine = field.text(current), field.text(wanted)
        if key in ("do_not_call", "do_not_mail"):
            saved, mine = (("yes" if text else "no") for text in (saved, mine))
        if saved != mine:
            found.append(Difference(TAKE + key, field.label, saved, mine))
    if values.get("owner_id") != current.owner_id:
        ids = [pk for pk in (values.get("owner_id"), current.owner_id) if pk]
        people = {user.pk: user.get_full_name() for user in User.objects.filter(pk__in=ids)}
        saved, mine = (people.get(pk or 0, "nobody") for pk in (current.owner_id, values.get("owner_id")))
        found.append(Difference(f"{TAKE}owner", "Owner", saved, mine))
    for definition in CustomField.objects.filter(is_active=True):
        pair = [str(fields.get(definition.key, "")) for fields in (current.custom_fields, values["custom_fields"])]
        if pair[0] != pair[1]:
            found.append(Difference(f"{TAKE}cf_{definition.key}", definition.label, *pair))
    return found


def taken(values: Mapping[str, Any], current: Contact, answers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values to save, with the saved one wherever a person chose to keep it."""
    result = dict(values)
    custom = dict(values["custom_fields"])
    for name in answers:
        key = name.removeprefix(TAKE)
        if name == key:
            continue
        if key.startswith("cf_"):
            custom.pop(key[3:], None)
            if key[3:] in current.custom_fields:
                custom[key[3:]] = current.custom_fields[key[3:]]
        elif key == "owner":
            result.pop("owner_id", None)
        elif key in FIELDS:
            result.pop(key, None)
    return {**result, "custom_fields": custom}
