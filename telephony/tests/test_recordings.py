from datetime import timedelta

import pytest
from django.conf import settings as django_settings
from django.core.files.storage import default_storage
from django.utils import timezone

from sandbox.caller import Caller
from sandbox.twilio.call import CarrierCall
from telephony.enums import RecordingKind, RecordingStatus
from telephony.models import Line, Recording
from telephony.services.recordings import (
    delete_expired,
    download_recording,
    give_up_recording,
    read_recording,
    start_recording,
    take_recording_status,
)
from telephony.tests.factories import make_call
from telephony.transcripts.batch import write_pending
from telephony.twilio.errors import TelephonyError


@pytest.fixture
def recorded(in_alice, providers):
    """A call that runs at the carrier, and is being recorded."""
    call = make_call(Line.objects.get(phone_number="+15550100"))
    carried = CarrierCall(providers.network, from_number="+15557001", to_number="+15550100", caller=Caller([]))
    carried.sid = call.call_sid
    carried.caller.spoken += b"\x11" * 16_000
    carried.caller.heard += b"\x22" * 16_000
    providers.network.calls[call.call_sid] = carried
    return call, start_recording(call_id=str(call.pk))


def complete(providers, call, recording):
    """The carrier has finished the recording; return its callback."""
    item = providers.network.recordings[recording.recording_sid]
    item.callback = ""
    providers.do(providers.network.finish_recording(item, providers.network.calls[call.call_sid]))
    return {
        "CallSid": call.call_sid,
        "RecordingSid": recording.recording_sid,
        "RecordingStatus": "completed",
        "RecordingDuration": "2",
        "RecordingChannels": "2",
        "RecordingSource": "StartCallRecordingAPI",
    }


@pytest.fixture(autouse=True)
def queued(monkeypatch):
    """What would be handed to Celery."""
    from telephony import tasks

    calls = []
    monkeypatch.setattr(tasks.fetch_recording, "apply_async", lambda kwargs, **_: calls.append(kwargs))
    return calls


def test_recording_starts_at_the_carrier_with_our_callback(recorded, providers):
    call, recording = recorded

    assert recording.status == RecordingStatus.IN_PROGRESS
    assert (
        providers.network.recordings[recording.recording_sid].callback
        == "https://calls.example/api/webhooks/recording-status"
    )
    assert start_recording(call_id=str(call.pk)) is None  # a resumed call is recorded already


def test_a_completed_recording_is_fetched_once(recorded, providers, queued):
    call, recording = recorded
    form = complete(providers, call, recording)

    take_recording_status(call=call, form=form)
    take_recording_status(call=call, form=form)

    assert queued == [{"recording_id": recording.pk}]


def test_an_early_status_after_the_final_one_changes_nothing(recorded, providers):
    call, recording = recorded
    form = complete(providers, call, recording)
    take_recording_status(call=call, form=form)

    take_recording_status(call=call, form={**form, "RecordingStatus": "in-progress"})

    recording.refresh_from_db()
    assert recording.status == RecordingStatus.COMPLETED


def test_a_fetched_recording_is_sealed_in_the_tenants_folder_and_gone_at_the_carrier(recorded, providers, in_alice):
    call, recording = recorded
    take_recording_status(call=call, form=complete(providers, call, recording))

    download_recording(recording_id=recording.pk)
    download_recording(recording_id=recording.pk)

    recording.refresh_from_db()
    assert recording.status == RecordingStatus.STORED
    assert recording.file_name.startswith(f"{in_alice.schema_name}/recordings/")
    assert recording.delete_on == timezone.localdate() + timedelta(days=90)
    Line.objects.update(recording_retention_days=7)
    assert Recording.objects.get().delete_on == timezone.localdate() + timedelta(days=7)
    sealed = (django_settings.ENV.state_dir / "files" / recording.file_name).read_bytes()
    assert b"RIFF" not in sealed
    wav = read_recording(recording)
    assert wav.startswith(b"RIFF")
    assert b"\x11\x22\x11\x22" in wav
    assert providers.network.recordings[recording.recording_sid].deleted
    write_pending()
    assert [event.detail["status"] for event in call.events.all()] == ["started", "stored"]


def test_a_file_that_is_not_there_yet_is_worth_another_attempt(recorded, providers):
    call, recording = recorded
    form = complete(providers, call, recording)
    providers.network.recordings[recording.recording_sid].status = "in-progress"
    take_recording_status(call=call, form=form)

    with pytest.raises(TelephonyError) as caught:
        download_recording(recording_id=recording.pk)
    assert caught.value.retryable

    give_up_recording(recording_id=recording.pk)
    recording.refresh_from_db()
    assert recording.status == RecordingStatus.FAILED


def test_an_empty_recording_says_so(recorded, queued):
    call, recording = recorded

    take_recording_status(call=call, form={"RecordingSid": recording.recording_sid, "RecordingStatus": "absent"})

    recording.refresh_from_db()
    assert (recording.status, queued) == (RecordingStatus.ABSENT, [])


def test_a_voicemail_is_known_by_its_source(in_alice):
    recording = take_recording_status(
        call=make_call(), form={"RecordingSid": "RE9", "RecordingStatus": "completed", "RecordingSource": "RecordVerb"}
    )

    assert recording.kind == RecordingKind.VOICEMAIL


def test_a_carrier_that_refuses_does_not_disturb_the_call(in_alice, providers):
    call = make_call()  # unknown at the carrier

    assert start_recording(call_id=str(call.pk)) is None
    write_pending()
    assert [event.detail["code"] for event in call.events.all()] == ["RECORDING_REFUSED"]


def test_retention_deletes_the_file_and_keeps_the_row(recorded, providers):
    call, recording = recorded
    take_recording_status(call=call, form=complete(providers, call, recording))
    download_recording(recording_id=recording.pk)
    name = Recording.objects.get().file_name

    assert delete_expired(today=timezone.localdate() + timedelta(days=89)) == 0
    assert delete_expired(today=timezone.localdate() + timedelta(days=90)) == 1

    recording.refresh_from_db()
    assert recording.status == RecordingStatus.DELETED
    assert not default_storage.exists(name)
