"""What text conversations do when contacts are merged and parted."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from crm.signals import contacts_merged, merge_undone
from telephony.texting.models import Conversation


@receiver(contacts_merged)
def move_texts(kept_id: int, merged_id: int, moved: dict[str, Any], **_: Any) -> None:
    mine = Conversation.objects.filter(contact=merged_id)
    moved["texts"] = list(mine.values_list("pk", flat=True))
    Conversation.objects.filter(pk__in=moved["texts"]).update(contact=kept_id)


@receiver(merge_undone)
def move_texts_back(kept_id: int, merged_id: int, moved: dict[str, Any], **_: Any) -> None:
    Conversation.objects.filter(pk__in=moved.get("texts", []), contact=kept_id).update(contact=merged_id)
