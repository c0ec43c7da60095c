"""The bin is emptied after thirty days, and what only served to undo goes with it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from crm.models import Attachment, Contact, ContactChange
from crm.models.contacts import NO_CONTACT
from crm.services.attachments import delete_attachment
from crm.services.jobs import forget_old_jobs
from crm.signals import contacts_purged

KEPT_FOR = timedelta(days=30)
CHUNK = 500


def empty_bin(*, now: datetime | None = None) -> int:
    """Delete for good what has been in the bin for thirty days; return how many contacts."""
    now = now or timezone.now()
    total = 0
    # Who was erased with a wish stays, so that it is still known: of them nothing is left but that.
    wishing = NO_CONTACT & Q(erased_at__isnull=False)
    while ids := list(
        Contact.objects.filter(deleted_at__lt=now - KEPT_FOR).exclude(wishing).values_list("pk", flat=True)[:CHUNK]
    ):
        total += purge_contacts(ids=ids, binned_before=now - KEPT_FOR)
    forget_old_jobs()
    return total


def purge_contacts(*, ids: Sequence[int], binned_before: datetime) -> int:
    """Delete contacts with everything about them; return how many. Whoever was taken out of the bin meanwhile stays."""
    with transaction.atomic():
        waiting = Contact.objects.select_for_update().filter(pk__in=ids, deleted_at__lt=binned_before)
        ids = list(waiting.order_by("pk").values_list("pk", flat=True))
        for attachment in Attachment.objects.filter(interaction__contact__in=ids):
            delete_attachment(attachment=attachment)
        contacts_purged.send(sender=Contact, contact_ids=ids)
        ContactChange.objects.filter(contact_id__in=ids).delete()
        Contact.objects.filter(pk__in=ids).delete()
    return len(ids)
