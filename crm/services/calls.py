"""Calls on contacts' timelines, and what an agent is told of, and may note about, whoever is on the line.

The room of calls is above this one: it hands in numbers, times and texts, and gets contacts and sentences back.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from crm.enums import FactSource, InteractionKind
from crm.models import Contact, ContactStatus, Interaction
from crm.models.setup import CrmSettings, crm_settings
from crm.phones import is_e164, spellings
from crm.services.contacts import create_contact
from crm.services.interactions import add_interaction

SOURCE = "phone call"


def contact_of(number: str) -> Contact | None:
    """Return the contact a number belongs to, however it is spelled: of several, the one that was in touch last."""
    if not number:
        return None
    found = Contact.objects.live().with_phone(*spellings(number))
    return found.order_by(F("last_interaction_at").desc(nulls_last=True), "id").first()  # type: ignore[no-any-return]


def contact_for_caller(*, number: str, create: bool, origin: str = SOURCE) -> Contact | None:
    """Return the contact of a caller; with `create` an unknown one becomes a lead, whose source is `origin`."""
    with transaction.atomic():
        known = contact_of(number)
        if known is not None or not create or not is_e164(number):
            return known
        _one_at_a_time(min(spellings(number)))  # two calls from one new number at once are one lead
        return contact_of(number) or create_contact(
            values={
                "contact_name": crm_settings().new_lead_name,
                "phones": [{"label": "", "number": number}],
                "source": origin,
                **_wishes(number),
            },
            by=None,
            source=FactSource.CALL,
        )


def _wishes(number: str) -> dict[str, bool]:
    """What somebody with this number has asked for holds, even if their contact has been deleted since."""
    before = Contact.objects.with_phone(*spellings(number))
    return {
        flag: True for flag in ("do_not_call", "do_not_mail") if before.filter(**{f"{flag}_at__isnull": False}).exists()
    }


def _one_at_a_time(number: str) -> None:
    from django.db import connection

    from thanos.encryption import blind_index

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
            [connection.schema_name + blind_index(number)],  # type: ignore[attr-defined]
        )  # type: ignore[attr-defined]


def record_call(
    *, contact: Contact, key: str, line: str, at: datetime, metadata: dict[str, Any], summary: str = ""
) -> Interaction:
    """Put a finished call on a contact's timeline; again with the same key, bring that entry up to date."""
    subject = crm_settings().call_subject.replace("{line}", line)
    entry = add_interaction(
        contact=contact,
        kind=InteractionKind.PHONE_CALL,
        subject=subject,
        content=summary,
        at=at,
        metadata=metadata,
        natural_key=f"call:{key}",
    )
    if summary and not entry.content:  # what a person wrote there stays
        Interaction.objects.filter(pk=entry.pk).update(content=summary, updated_at=timezone.now())
    return entry


def caller_context(contact: Contact, *, with_details: bool = True) -> str:
    """Return what the agent is told of a caller it knows, in the tenant's own words; without details, only who it is."""
    settings = crm_settings()
    status = ContactStatus.objects.filter(pk=contact.status).values_list("label", flat=True).first()
    values = {
        "name": contact.contact_name,
        "business": contact.business_name,
        "status": status or contact.get_status_display(),
        "interactions": _recent(contact, settings) if with_details else "",
        "tasks": _tasks(contact) if with_details else "",
    }
    text = settings.caller_context
    for name, value in values.items():
        text = text.replace("{" + name + "}", value or "unknown")
    if contact.do_not_call_at and settings.no_contact_context:
        text += f" {settings.no_contact_context}"
    return text


def _tasks(contact: Contact) -> str:
    return "; ".join(_line(task) for task in contact.interactions.open_tasks().order_by("due_on")[:5]) or "none"


def _recent(contact: Contact, settings: CrmSettings) -> str:
    recent = contact.interactions.exclude(done_at=None, kind__in=("task", "follow_up"))[: settings.context_interactions]
    return " ".join(f"{entry.interaction_date:%d %b %Y}: {_line(entry)}." for entry in recent) or "nothing yet."


def _line(entry: Interaction) -> str:
    """One entry in a few words: what somebody wrote must not become an instruction, nor fill the agent's memory."""
    text = " ".join(f"{entry.get_kind_display()} {entry.subject} {entry.content}".split())
    return text[:240].replace("{", "(").replace("}", ")")
