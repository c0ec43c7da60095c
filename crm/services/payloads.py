"""How contacts and interactions look to other programs: in webhooks and in the API's own words."""

from __future__ import annotations

from typing import Any

from crm.models import Contact, Interaction


def contact_payload(contact: Contact) -> dict[str, Any]:
    return {
        "id": contact.pk,
        "contact_name": contact.contact_name,
        "business_name": contact.business_name,
        "contact_email": contact.contact_email,
        "contact_role": contact.contact_role,
        "phones": contact.phones,
        "website": contact.website,
        "city": contact.city,
        "state": contact.state,
        "country": contact.country,
        "status": contact.status,
        "value": None if contact.value is None else str(contact.value),
        "source": contact.source,
        "tags": contact.tags,
        "custom_fields": contact.custom_fields,
        "do_not_call": contact.do_not_call_at is not None,
        "do_not_mail": contact.do_not_mail_at is not None,
        "version": contact.version,
        "created_at": contact.created_at.isoformat(),
        "updated_at": contact.updated_at.isoformat(),
    }


def interaction_payload(interaction: Interaction) -> dict[str, Any]:
    return {
        "id": interaction.pk,
        "contact": interaction.contact_id,
        "kind": interaction.kind,
        "subject": interaction.subject,
        "content": interaction.content,
        "interaction_date": interaction.interaction_date.isoformat(),
        "due_on": interaction.due_on.isoformat() if interaction.due_on else None,
        "done_at": interaction.done_at.isoformat() if interaction.done_at else None,
        "metadata": interaction.metadata,
    }
