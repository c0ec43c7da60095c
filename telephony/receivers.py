"""What telephony does when something happens to a tenant."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from django.core.files.storage import default_storage
from django.dispatch import receiver

from crm.signals import contacts_merged, merge_undone
from telephony.enums import EndedReason, RecordingStatus
from telephony.models import Call, Recording
from telephony.services.control import hang_up_everybody
from telephony.services.lines import create_default_line, ensure_line
from telephony.services.recordings import read_recording
from telephony.transcripts.batch import write_pending
from tenants.models import PhoneNumber, Tenant
from tenants.signals import number_attached, tenant_created, tenant_deactivated, tenant_deleted, tenant_exporting


@receiver(tenant_created)
def add_default_line(tenant: Tenant, **_: Any) -> None:
    create_default_line(tenant=tenant)


@receiver(number_attached)
def add_line(phone_number: PhoneNumber, **_: Any) -> None:
    ensure_line(number=phone_number)


@receiver(tenant_deactivated)
def end_calls(**_: Any) -> None:
    hang_up_everybody(calls=list(Call.objects.open()), reason=EndedReason.TENANT_INACTIVE)


@receiver(tenant_exporting)
def export_recordings(folder: Path, **_: Any) -> None:
    """Everything that is still on its way into the tables, and the recordings as files one can play."""
    write_pending()
    for recording in Recording.objects.filter(status=RecordingStatus.STORED):
        target = folder / "recordings" / f"{recording.recording_sid}.wav"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(read_recording(recording))


@receiver(tenant_deleted)
def delete_files(schema: str, **_: Any) -> None:
    shutil.rmtree(default_storage.path(schema), ignore_errors=True)


@receiver(contacts_merged)
def move_calls(kept_id: int, merged_id: int, moved: dict[str, Any], **_: Any) -> None:
    calls = Call.objects.filter(contact=merged_id)
    moved["calls"] = [str(pk) for pk in calls.values_list("pk", flat=True)]
    Call.objects.filter(pk__in=moved["calls"]).update(contact=kept_id)


@receiver(merge_undone)
def move_calls_back(kept_id: int, merged_id: int, moved: dict[str, Any], **_: Any) -> None:
    Call.objects.filter(pk__in=moved.get("calls", []), contact=kept_id).update(contact=merged_id)
