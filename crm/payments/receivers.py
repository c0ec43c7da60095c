"""What contacts' payments do when contacts are merged: the mirror goes to the one that stays."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from crm.payments.models import Customer
from crm.signals import contacts_merged, merge_undone

NAME = "payments"


@receiver(contacts_merged)
def follow_merge(kept_id: int, merged_id: int, moved: dict[str, Any], **_: Any) -> None:
    """Who has a customer of their own keeps it; two cannot be one contact's."""
    if not Customer.objects.filter(contact=kept_id).exists():
        customers = Customer.objects.filter(contact=merged_id)
        moved[NAME] = list(customers.values_list("pk", flat=True))
        customers.update(contact=kept_id)


@receiver(merge_undone)
def follow_parting(kept_id: int, merged_id: int, moved: dict[str, Any], **_: Any) -> None:
    Customer.objects.filter(pk__in=moved.get(NAME) or [], contact=kept_id).update(contact=merged_id)
