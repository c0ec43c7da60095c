"""Words of stored transcripts, indexed again after the rule of what a word is has changed."""

from __future__ import annotations

from django.db import transaction

from telephony.models import CallMessage
from thanos.encryption import blind_words

BATCH = 500


def reindex_transcripts() -> int:
    """Index the entered tenant's transcripts anew; return how many rows changed. Can be stopped and begun again.

    Each batch is a transaction of its own, so calls that run meanwhile wait for none of it.
    """
    changed, last = 0, 0
    while True:
        with transaction.atomic():
            rows = list(CallMessage.objects.filter(pk__gt=last).order_by("pk").select_for_update()[:BATCH])
            if not rows:
                return changed
            last = rows[-1].pk
            stale = [row for row in rows if row.words != blind_words(row.text)]
            for row in stale:
                row.words = blind_words(row.text)
            CallMessage.objects.bulk_update(stale, ["words"])
            changed += len(stale)
