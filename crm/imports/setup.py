"""What every row of an import is dealt with by: compiled from the record, the tenant and its custom fields."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils import timezone

from crm.fieldtypes import Reading
from crm.imports.mapping import CUSTOM, FIRST_NAME, ID, LAST_NAME, OWNER
from crm.imports.models import ContactImport
from crm.imports.rowplan import FLAGS, Merger, Plan, Values, compile_plan
from crm.models import CustomField
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


def prepare(record: ContactImport, *, now: datetime | None = None) -> Setup:
    fields = list(CustomField.objects.filter(is_active=True))
    tenant = current_tenant()
    reading = Reading(region=record.region, zone=ZoneInfo(tenant.time_zone), day_format=record.day_format)
    plan = compile_plan(
        record.mapping,
        record.headers,
        fields=fields,
        reading=reading,
        owners=owners(),
        now=now or timezone.now(),
    )
    return Setup(record, plan, Merger({field.key: field for field in fields}, reading), _columns(record))


def owners() -> dict[str, int]:
    """Return who may own contacts here, by e-mail address and by name, in small letters."""
    members = Membership.objects.filter(tenant=current_tenant()).select_related("user").order_by("-pk")
    by_name = {" ".join(member.user.name.split()).casefold(): member.user_id for member in members if member.user.name}
    return by_name | {member.user.email.casefold(): member.user_id for member in members}


def _columns(record: ContactImport) -> tuple[str, ...]:
    renamed = {OWNER: "owner_id", FIRST_NAME: "contact_name", LAST_NAME: "contact_name", **FLAGS}
    keys = {"custom_fields" if target.startswith(CUSTOM) else renamed.get(target, target) for target in record.mapping}
    keys |= {"source", "owner_id", "tags"}  # what the import's defaults may fill
    beside = {name for key in keys for name in _BESIDE.get(key, ())}
    return tuple(sorted((keys | beside) - {"", ID}))
