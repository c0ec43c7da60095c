"""What every row of an import is dealt with by: compiled from the record, the tenant and its custom fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils import timezone

from crm.fieldtypes import Reading
from crm.imports.mapping import CUSTOM, DO_NOT_CONTACT, ID, IGNORE, MAY_CALL, MAY_MAIL, NAME_PARTS, NOTE, OWNER, PHONE_LABEL
from crm.imports.models import ContactImport
from crm.imports.rowplan import FLAGS, Answers, Merger, Plan, Unread, Values, compile_plan
from crm.models import ContactStatus, CustomField
from crm.phones import looks_like_number
from tenants.context import current_tenant
from tenants.models import Membership

_BESIDE = {
    "contact_email": ("email_index", "email_parts"),
    "address": ("address_parts",),
    "phones": ("phone_indexes",),
    "do_not_call_at": ("do_not_call_source",),
    "do_not_mail_at": ("do_not_mail_source",),
}


@dataclass(frozen=True, slots=True)
class Setup:
    record: ContactImport
    plan: Plan
    merger: Merger
    columns: tuple[str, ...]  # what has to be known of a contact to tell what a row changes

    @property
    def defaults(self) -> Values:
        """What new contacts have where their rows say nothing."""
        chosen = self.record.defaults
        found = {key: chosen[key] for key in ("status", "source") if chosen.get(key)}
        if chosen.get("owner"):
            found["owner_id"] = chosen["owner"]
        return found | ({"tags": list(chosen["tags"])} if chosen.get("tags") else {})

    def lacks_country(self, unread: Unread, cells: Sequence[str]) -> bool:
        """Tell whether a cell is a telephone number to which only the country is missing."""
        if self.record.mapping[unread.position] != "phones" or self.record.region:
            return False
        text = cells[unread.position].strip()
        return not text.startswith(("+", "00")) and looks_like_number(text)


def prepare(record: ContactImport, *, now: datetime | None = None) -> Setup:
    fields = list(CustomField.objects.filter(is_active=True))
    reading = reading_of(record)
    plan = compile_plan(
        record.mapping,
        record.headers,
        fields=fields,
        reading=reading,
        owners=owners(),
        now=now or timezone.now(),
        answers=answers_of(record),
    )
    return Setup(record, plan, Merger({field.key: field for field in fields}, reading), _columns(record))


def reading_of(record: ContactImport) -> Reading:
    labels = ContactStatus.objects.values_list("label", "key")
    return Reading(region=record.region, zone=ZoneInfo(current_tenant().time_zone), statuses=tuple(labels))


def answers_of(record: ContactImport) -> Answers:
    decided = record.decided or {}
    return Answers(
        {int(position): order for position, order in decided.get("day_orders", {}).items()},
        {int(position): mark for position, mark in decided.get("decimal_marks", {}).items()},
        (record.answers or {}).get("words", {}),
    )


def owners() -> dict[str, int]:
    """Return who may own contacts here, by e-mail address and by name, in small letters."""
    members = Membership.objects.filter(tenant=current_tenant()).select_related("user").order_by("-pk")
    by_name = {" ".join(member.user.name.split()).casefold(): member.user_id for member in members if member.user.name}
    return by_name | {member.user.email.casefold(): member.user_id for member in members}


_RENAMED = {
    OWNER: ("owner_id",),
    **{flag: (column,) for flag, column in FLAGS.items()},
    **dict.fromkeys(NAME_PARTS, ("contact_name",)),
    DO_NOT_CONTACT: tuple(FLAGS.values()),
    MAY_MAIL: (FLAGS["do_not_mail"],),
    MAY_CALL: (FLAGS["do_not_call"],),
    NOTE: ("notes",),
    **dict.fromkeys((PHONE_LABEL, IGNORE, ID, ""), ()),
}


def _columns(record: ContactImport) -> tuple[str, ...]:
    keys: set[str] = set()
    for target in record.mapping:
        keys |= {"custom_fields"} if target.startswith(CUSTOM) else set(_RENAMED.get(target, (target,)))
    keys |= {"source", "owner_id", "tags"}  # what the import's defaults may fill
    keys |= {"contact_name", "business_name"}  # whom a shared number belongs to
    if "contact_email" in keys:
        keys.add("notes")  # a cell may hold a second address
    beside = {name for key in keys for name in _BESIDE.get(key, ())}
    return tuple(sorted(keys | beside))
