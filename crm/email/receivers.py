"""What e-mail does when something happens to a tenant or to contacts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.dispatch import receiver

from crm.email.enums import PauseReason
from crm.email.models import Mailing
from crm.email.services import moving
from crm.email.services.mailings import PAUSABLE, pause_mailing
from crm.email.services.setup import create_defaults
from crm.signals import contacts_merged, contacts_purged, merge_undone
from tenants.models import Tenant
from tenants.signals import tenant_created, tenant_deactivated

NAME = "emails"


@receiver(tenant_created)
def prepare(tenant: Tenant, **_: Any) -> None:
    create_defaults()


@receiver(tenant_deactivated)
def pause_everything(**_: Any) -> None:
    for mailing in Mailing.objects.filter(state__in=PAUSABLE):
        pause_mailing(mailing=mailing, reason=PauseReason.PERSON, error="The organisation was switched off.")


@receiver(contacts_merged)
def follow_merge(kept_id: int, merged_id: int, moved: dict[str, Any], **_: Any) -> None:
    moved[NAME] = moving.move(merged_id=merged_id, kept_id=kept_id)


@receiver(merge_undone)
def follow_parting(kept_id: int, merged_id: int, moved: dict[str, Any], **_: Any) -> None:
    moving.move_back(kept_id=kept_id, merged_id=merged_id, moved=moved.get(NAME) or {})


@receiver(contacts_purged)
def forget_contacts(contact_ids: Sequence[int], **_: Any) -> None:
    moving.forget(contact_ids=contact_ids)
