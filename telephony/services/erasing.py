"""Forgetting calls: what was said, recorded and noted, and who it was. That there was a call, and its cost, stay.

The row stays as a shell without personal data, because figures count it and late news of the carrier must find it.
"""

from __future__ import annotations

from functools import partial

from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from redis.exceptions import RedisError

from agents.collaboration.models import Collaboration
from crm.erasing import Person, register
from crm.models import Interaction
from telephony.enums import RecordingStatus
from telephony.models import Call
from telephony.transcripts.batch import write_pending
from tenants.celery import publish
from thanos.encryption import blind_indexes

# What a shell does not keep. The number that was called is the organisation's own.
_EMPTIED = {
    "from_number": "",
    "from_index": "",
    "from_raw": "",
    "attestation": "",
    "next_number": "",
    "briefing": "",
    "agent_note": "",
    "summary": "",
    "summary_status": "",
    "tier_reason": "",
    "contact": None,
}


class StillRunningError(ValueError):
    """A call that is still running cannot be erased."""


def erase_call(*, call: Call) -> bool:
    """Erase a call for good; return whether there was anything left to erase. Must run inside the tenant.

    Raises StillRunningError.
    """
    _bring_in_what_is_on_its_way()
    with transaction.atomic():
        locked = Call.objects.select_for_update().get(pk=call.pk)
        if locked.is_open:
            raise StillRunningError("The call is still running. Hang up first.")
        if locked.erased_at is not None:
            return False
        _erase(locked)
    return True


def erase_calls_of(person: Person) -> dict[str, int]:
    """Erase a person's calls, by their contacts and by every number and address they are known under.

    A call that is running is left: it belongs to the moment, and its contact is gone when it ends.
    """
    indexes = [index for name in (*person.numbers, *person.addresses) for index in blind_indexes(name)]
    theirs = Q(contact_id__in=person.contact_ids) | Q(from_index__in=indexes) | Q(to_index__in=indexes)
    _bring_in_what_is_on_its_way()
    with transaction.atomic():
        calls = [call for call in Call.objects.select_for_update().filter(theirs, erased_at=None) if not call.is_open]
        for call in calls:
            _erase(call)
    return {"calls": len(calls)}


def _bring_in_what_is_on_its_way() -> None:
    """Words that are not in the table yet would come back; what is written later belongs to no call any more."""
    try:
        write_pending()
    except RedisError:
        return


def _erase(call: Call) -> None:
    from telephony.tasks import forget_recording

    for recording in call.recordings.all():
        if recording.file_name:
            transaction.on_commit(partial(default_storage.delete, recording.file_name))
        if recording.status != RecordingStatus.STORED:  # the carrier may still have it
            sid = recording.recording_sid
            transaction.on_commit(partial(publish, forget_recording, recording_sid=sid))
    call.recordings.all().delete()
    call.messages.all().delete()
    call.events.all().delete()
    Collaboration.objects.filter(call_id=call.pk).delete()
    Interaction.objects.filter(natural_key=f"call:{call.pk}").update(content="", updated_at=timezone.now())
    Call.objects.filter(pk=call.pk).update(**_EMPTIED, logged_at=timezone.now(), erased_at=timezone.now())


register("telephony", erase_calls_of)
