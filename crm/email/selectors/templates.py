"""What the pages of templates show."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Q, QuerySet
from django.http import QueryDict

from crm.email.models import EmailTemplate, EmailTemplateVersion
from crm.models import Contact
from crm.selectors.contacts import contacts_for, page_of_contacts
from tenants.models import Tenant, User

FOUND = 8  # contacts a search shows
SHOWN_VERSIONS = 100


def templates() -> QuerySet[EmailTemplate]:
    found: QuerySet[EmailTemplate] = EmailTemplate.objects.kept().select_related("current")
    return found


@dataclass(frozen=True, slots=True)
class SavedVersion:
    version: EmailTemplateVersion
    author: str  # "" when nobody is known: the product's own, or somebody who is gone
    is_current: bool


def versions(template: EmailTemplate) -> list[SavedVersion]:
    found = list(template.versions.defer("html", "text")[:SHOWN_VERSIONS])
    authors = User.objects.filter(pk__in={version.created_by_id for version in found if version.created_by_id})
    names = {user.pk: user.get_full_name() for user in authors}
    return [
        SavedVersion(version, names.get(version.created_by_id or 0, ""), version.pk == template.current_id)
        for version in found
    ]


@dataclass(frozen=True, slots=True)
class Example:
    """The contact a template is tried on, and whom to try next."""

    contact: Contact | None
    previous: Contact | None = None
    next: Contact | None = None


def _reachable() -> QuerySet[Contact]:
    found: QuerySet[Contact] = Contact.objects.live().exclude(email_index="").order_by("-created_at", "-id")
    return found


def example(contact_id: int | None) -> Example:
    """Return the contact asked for, if there is one, else the newest that has an address."""
    contact = Contact.objects.live().filter(pk=contact_id).first() if contact_id else None
    contact = contact or _reachable().first() or Contact.objects.live().order_by("-created_at", "-id").first()
    if contact is None:
        return Example(None)
    at, pk = contact.created_at, contact.pk
    older = _reachable().filter(Q(created_at__lt=at) | Q(created_at=at, pk__lt=pk))
    newer = _reachable().filter(Q(created_at__gt=at) | Q(created_at=at, pk__gt=pk)).order_by("created_at", "id")
    return Example(contact, previous=newer.first(), next=older.first())


def find_contacts(text: str, *, tenant: Tenant, user: User) -> list[Contact]:
    """Return a few contacts a search finds, the newest first."""
    query = QueryDict(mutable=True)
    query["q"] = text.replace("\0", "")[:200]
    contacts = contacts_for(query, tenant=tenant, user=user)
    return list(page_of_contacts(contacts, sort="-created", cursor=None).contacts[:FOUND])
