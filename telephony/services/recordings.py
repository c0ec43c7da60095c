"""Recordings: started at the carrier, fetched when ready, sealed on our disk, deleted when their time is over."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import date, datetime, timedelta

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone

from telephony.enums import EventKind, RecordingKind, RecordingStatus
from telephony.models import Call, Recording
from telephony.services.carrier import carrier
from telephony.services.entries import note
from telephony.services.urls import webhook_url
from telephony.twilio.errors import NotConfiguredError, NotFoundError, TelephonyError
from telephony.twilio.fields import whole
from tenants.celery import publish
from tenants.context import current_schema
from thanos.encryption import decrypt, encrypt

logger = logging.getLogger("telephony")

# Ours, from the carrier's words.
_STATUSES = {
    "in-progress": RecordingStatus.IN_PROGRESS,
    "completed": RecordingStatus.COMPLETED,
    "absent": RecordingStatus.ABSENT,
}
_VOICEMAIL_SOURCES = frozenset({"RecordVerb"})


def start_recording(*, call_id: str) -> Recording | None:
    """Ask the carrier to record a call. A refusal is noted on the call and does not disturb it."""
    call = Call.objects.get(pk=call_id)
    if call.recordings.filter(kind=RecordingKind.CALL).exists():
        return None  # a resumed call is being recorded already
    try:
        sid = carrier().start_recording(call.call_sid, status_url=webhook_url("recording-status"))
    except TelephonyError as error:
        note(call, EventKind.ERROR, {"code": "RECORDING_REFUSED", "status": error.status})
        return None
    recording, created = Recording.objects.get_or_create(recording_sid=sid, defaults={"call": call, "channels": 2})
    if created:
        note(call, EventKind.RECORDING, {"status": "started"})
    return recording


def take_recording_status(*, call: Call, form: Mapping[str, str]) -> Recording | None:
    """Store what a recording callback says, and have a completed recording fetched. Safe to repeat, in any order.

    One of a call that was erased meanwhile is deleted at the carrier.
    """
    from telephony.tasks import fetch_recording, forget_recording

    if call.erased_at is not None:
        publish(forget_recording, recording_sid=form["RecordingSid"])
        return None
    status = _STATUSES.get(form.get("RecordingStatus", ""), RecordingStatus.IN_PROGRESS)
    kind = RecordingKind.VOICEMAIL if form.get("RecordingSource") in _VOICEMAIL_SOURCES else RecordingKind.CALL
    recording, _ = Recording.objects.get_or_create(
        recording_sid=form["RecordingSid"], defaults={"call": call, "kind": kind}
    )
    moved = Recording.objects.filter(pk=recording.pk, status=RecordingStatus.IN_PROGRESS).update(
        status=status,
        changed_at=timezone.now(),
        duration_s=whole(form.get("RecordingDuration")),
        channels=whole(form.get("RecordingChannels"), most=16) or recording.channels,
    )
    if moved and status == RecordingStatus.COMPLETED:
        publish(fetch_recording, recording_id=recording.pk)
    recording.refresh_from_db()
    return recording


def download_recording(*, recording_id: int) -> None:
    """Fetch, seal and store a recording, then have the carrier delete its copy. Safe to repeat.

    Raises TelephonyError; a retryable one means that the carrier's file is not there yet.
    """
    recording = Recording.objects.select_related("call__line").get(pk=recording_id)
    if recording.status != RecordingStatus.COMPLETED:
        return
    data = carrier().download_recording(recording.recording_sid)
    wanted = f"{current_schema()}/recordings/{recording.recording_sid}.wav.sealed"
    if default_storage.exists(wanted):
        default_storage.delete(wanted)  # of an attempt that was killed before its row was written
    name = default_storage.save(wanted, ContentFile(encrypt(data)))
    Recording.objects.filter(pk=recording.pk).update(
        status=RecordingStatus.STORED, file_name=name, size_bytes=len(data), stored_at=timezone.now()
    )
    note(recording.call, EventKind.RECORDING, {"status": "stored"})
    try:
        carrier().delete_recording(recording.recording_sid)
    except NotFoundError:
        pass
    except TelephonyError:
        logger.warning("The carrier keeps its copy of a recording: deleting it failed.")


def forget_recording(*, recording_sid: str) -> None:
    """Delete the carrier's copy of a recording. Raises TelephonyError."""
    try:
        carrier().delete_recording(recording_sid)
    except (NotFoundError, NotConfiguredError):
        return


def give_up_recording(*, recording_id: int) -> None:
    Recording.objects.filter(pk=recording_id, status=RecordingStatus.COMPLETED).update(status=RecordingStatus.FAILED)


def stranded(*, now: datetime | None = None) -> list[int]:
    """Return recordings that are ready at the carrier, and whose fetching was lost on the way."""
    limit = (now or timezone.now()) - timedelta(minutes=30)  # longer than all attempts of one task take together
    waiting = Recording.objects.filter(status=RecordingStatus.COMPLETED, changed_at__lt=limit)
    pks = list(waiting.values_list("pk", flat=True)[:100])
    Recording.objects.filter(pk__in=pks).update(changed_at=timezone.now())
    return pks


def read_recording(recording: Recording) -> bytes:
    """Return the WAV file of a stored recording. Raises FileNotFoundError."""
    with default_storage.open(recording.file_name) as sealed:
        return decrypt(sealed.read())


def delete_expired(*, today: date | None = None) -> int:
    """Delete the files whose retention is over; the row stays and says so."""
    today = today or timezone.localdate()
    stored = Recording.objects.filter(status=RecordingStatus.STORED).select_related("call__line")
    count = 0
    for recording in stored.iterator():
        if recording.delete_on is None or recording.delete_on > today:
            continue
        default_storage.delete(recording.file_name)
        Recording.objects.filter(pk=recording.pk).update(status=RecordingStatus.DELETED, file_name="")
        count += 1
    return count
