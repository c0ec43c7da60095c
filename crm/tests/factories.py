"""Boring rows."""

from __future__ import annotations

from typing import Any

from crm.models import Contact, Interaction
from crm.services.contacts import columns


def make_contact(contact_name: str = "Ann Example", **values: Any) -> Contact:
    """A row as the services would have written it, without what follows from it."""
    plain = {
        name: values.pop(name) for name in list(values) if name in ("deleted_at", "merged_into", "created_at", "score")
    }
    if "phone" in values:
        values["phones"] = [{"label": "", "number": values.pop("phone")}]
    for name in ("last_interaction_at", "open_task_count", "updated_at", "import_id", "scored_at"):
        if name in values:
            plain[name] = values.pop(name)
    return Contact.objects.create(**columns({"contact_name": contact_name, **values}), **plain)


def make_interaction(contact: Contact, kind: str = "note", **values: Any) -> Interaction:
    return Interaction.objects.create(contact=contact, kind=kind, **values)
