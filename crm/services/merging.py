"""Two contacts that are one person become one, and can be parted again for thirty days."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from crm.contactfields import FIELDS
from crm.enums import FactSource
from crm.hooks.enums import Event
from crm.hooks.services.emitting import emit
from crm.models import Contact, CustomField, Interaction, MergeRecord
from crm.services.contactability import note_wishes
from crm.services.contacts import FLAGS, columns
from crm.services.interactions import touch
from crm.services.payloads import contact_payload
from crm.services.scoring import rescore_later
from crm.services.snapshots import dump, is_unchanged, load
from crm.signals import contacts_merged, merge_undone
from tenants.models import User

UNDO_FOR = timedelta(days=30)
CUSTOM = "custom_fields."
JOINED = ("phones", "tags", "notes")  # nothing of either is lost


class MergeError(ValueError):
    """The contacts cannot be merged, or parted; the text says why."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One field in which the two differ."""

    name: str
    label: str
    kept: str
    merged: str

    @property
    def suggested(self) -> str:
        return "kept" if self.kept else "merged"


def choices(kept: Contact, merged: Contact) -> list[Choice]:
    """Return the fields a person has to decide about: those that both have, or only one has."""
    found = []
    for name, field in FIELDS.items():
        mine, theirs = field.text(kept), field.text(merged)
        if name not in (*JOINED, *FLAGS) and mine != theirs:
            found.append(Choice(name, field.label, mine, theirs))
    if kept.owner_id != merged.owner_id:
        names = [contact.owner.get_full_name() if contact.owner_id and contact.owner else "" for contact in (kept, merged)]
        found.append(Choice("owner", "Owner", *names))
    for field in CustomField.objects.filter(is_active=True):  # type: ignore[assignment]
        mine, theirs = (str(contact.custom_fields.get(field.key, "")) for contact in (kept, merged))
        if mine != theirs:
            found.append(Choice(CUSTOM + field.key, field.label, mine, theirs))
    return found


def merge_contacts(*, kept: Contact, merged: Contact, take: Mapping[str, str], by: User | None) -> MergeRecord:
    """Merge one contact into another. `take` names, by field, whose value stays: "kept" or "merged".

    Of fields it does not name, the kept contact's value stays, and where that is empty the other's survives.
    Numbers, tags and notes are joined, and a wish not to be contacted survives whichever of the two had it.
    Raises MergeError.
    """
    if kept.pk == merged.pk:
        raise MergeError("A contact cannot be merged with itself.")
    with transaction.atomic():
        # Always in the order of their ids, so that two merges at once do not wait for each other.
        rows = {
            row.pk: row for row in Contact.objects.select_for_update().filter(pk__in=(kept.pk, merged.pk)).order_by("pk")
        }
        if len(rows) < 2 or any(row.deleted_at for row in rows.values()):
            raise MergeError("One of the two is gone meanwhile.")
        kept, merged = rows[kept.pk], rows[merged.pk]
        changed = {name: value for name, value in _joined(kept, merged, take).items() if getattr(kept, name) != value}
        before = dump(kept, changed)
        now = timezone.now()
        Contact.objects.filter(pk=kept.pk).update(**changed, version=F("version") + 1, updated_at=now)
        note_wishes(contact_id=kept.pk, before=kept, changed=changed, by=by)
        Contact.objects.filter(pk=merged.pk).update(deleted_at=now, merged_into=kept.pk, version=F("version") + 1)
        moved = _move(kept, merged)
        after = Contact.objects.get(pk=kept.pk)
        record = MergeRecord.objects.create(  # type: ignore[misc]
            kept=kept,
            merged=merged,
            before={"before": before, "after": dump(after, changed)},
            moved=moved,
            version=after.version,
            user=by,
        )
        data = {**contact_payload(after), "merged_id": merged.pk}
        emit(event=Event.CONTACT_MERGED, data=data, key=f"merge:{record.pk}")
    rescore_later([kept.pk])
    return record


def _joined(kept: Contact, merged: Contact, take: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if take.get("owner") == "merged" or (kept.owner_id is None and "owner" not in take):
        values["owner_id"] = merged.owner_id
    # What only one of them has survives, unless somebody chose that it should not.
    custom = {key: value for key, value in merged.custom_fields.items() if CUSTOM + key not in take} | kept.custom_fields
    for name in FIELDS:
        if name not in (*JOINED, *FLAGS, *take) and getattr(kept, name) in ("", None):
            values[name] = getattr(merged, name)
    for name, side in take.items():
        if side != "merged":
            continue
        if name.startswith(CUSTOM):
            key = name.removeprefix(CUSTOM)
            custom.pop(key, None)
            if key in merged.custom_fields:
                custom[key] = merged.custom_fields[key]
        elif name in FIELDS and name not in (*JOINED, *FLAGS):
            values[name] = getattr(merged, name)
    numbers = {_dialed(phone) for phone in kept.phones}
    values["phones"] = [*kept.phones, *(phone for phone in merged.phones if _dialed(phone) not in numbers)]
    values["tags"] = list(dict.fromkeys((*kept.tags, *merged.tags)))
    values["notes"] = "\n\n".join(dict.fromkeys(filter(None, (kept.notes, merged.notes))))
    values["custom_fields"] = custom
    if not (values.get("contact_name", kept.contact_name) or values.get("business_name", kept.business_name)):
        raise MergeError("Choose a name, or the name of a business.")
    found = columns(values, source=FactSource.MERGE)
    for flag in FLAGS:
        if getattr(kept, f"{flag}_at") is None and getattr(merged, f"{flag}_at") is not None:
            found |= {f"{flag}_at": getattr(merged, f"{flag}_at"), f"{flag}_source": getattr(merged, f"{flag}_source")}
    return found


def _dialed(phone: Mapping[str, str]) -> tuple[str, str]:
    return phone["number"], phone.get("extension", "")


def _move(kept: Contact, merged: Contact) -> dict[str, Any]:
    ids = list(Interaction.objects.filter(contact=merged).values_list("pk", flat=True))
    Interaction.objects.filter(pk__in=ids).update(contact=kept)
    moved: dict[str, Any] = {"interactions": ids}
    contacts_merged.send(sender=Contact, kept_id=kept.pk, merged_id=merged.pk, moved=moved)
    touch(kept.pk, merged.pk)
    return moved


def undo_merge(*, record: MergeRecord, now: datetime | None = None) -> int:
    """Part two contacts again; return how many fields were left as they are, because they changed since.

    Raises MergeError.
    """
    now = now or timezone.now()
    with transaction.atomic():
        claimed = MergeRecord.objects.filter(pk=record.pk, undone_at=None, merged_at__gt=now - UNDO_FOR)
        if not claimed.update(undone_at=now):
            raise MergeError("This merge was undone already, or is too long ago.")
        pair = Contact.objects.select_for_update().filter(pk__in=(record.kept_id, record.merged_id)).order_by("pk")
        kept = {contact.pk: contact for contact in pair}[record.kept_id]
        before, after = record.before["before"], record.before["after"]
        if kept.merged_into_id is not None:
            raise MergeError("This contact was merged into another one meanwhile: part those two first.")
        untouched = {name for name, value in after.items() if is_unchanged(kept, name, value)}
        # A wish not to be contacted is never taken back by undoing: it may have been said again since.
        untouched -= {name for name in untouched if name.startswith(FLAGS)}
        restored = load({name: value for name, value in before.items() if name in untouched})
        Contact.objects.filter(pk=kept.pk).update(**restored, version=F("version") + 1, updated_at=now)
        Contact.objects.filter(pk=record.merged_id).update(
            deleted_at=None, merged_into=None, version=F("version") + 1, updated_at=now
        )
        Interaction.objects.filter(pk__in=record.moved["interactions"], contact=kept).update(contact=record.merged_id)
        merge_undone.send(sender=Contact, kept_id=kept.pk, merged_id=record.merged_id, moved=record.moved)
        touch(kept.pk, record.merged_id)
        _tell(record)
    rescore_later([kept.pk, record.merged_id])
    return len([name for name in after if not name.startswith(FLAGS)]) - len(untouched)


def _tell(record: MergeRecord) -> None:
    kept, merged = Contact.objects.get(pk=record.kept_id), Contact.objects.get(pk=record.merged_id)
    emit(event=Event.CONTACT_CHANGED, data=contact_payload(kept), key=f"contact:{kept.pk}:{kept.version}")
    emit(event=Event.CONTACT_CREATED, data=contact_payload(merged), key=f"contact:{merged.pk}:{merged.version}")
