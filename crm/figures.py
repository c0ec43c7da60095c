"""What billing asks of the CRM: what attachments take up, and what mailings are called."""

from __future__ import annotations

from django.db.models import Sum

from billing import naming, storage
from billing.naming import Name
from crm.models import Attachment


def attachment_bytes() -> int:
    return int(Attachment.objects.aggregate(sum=Sum("size"))["sum"] or 0)


def campaigns(ids: list[str]) -> dict[str, Name]:
    from crm.email.models import Mailing

    numbers = [one.removeprefix("mailing:") for one in ids if one.startswith("mailing:")]
    return {
        f"mailing:{mailing.pk}": Name(str(mailing), mailing.get_absolute_url())
        for mailing in Mailing.objects.filter(pk__in=numbers)
    }


storage.register("attachments", attachment_bytes)
naming.register("campaign", campaigns)
