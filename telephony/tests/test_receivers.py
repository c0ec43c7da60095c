"""What happens to calls, lines and files when something happens to their tenant."""

import tarfile

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone

from sandbox.caller import Caller
from sandbox.twilio.call import CarrierCall
from sandbox.twilio.signing import sign
from telephony.enums import CallStatus, EndedReason, RecordingStatus
from telephony.models import Call, Line, Recording
from telephony.tests.factories import incoming_form, make_call, make_finished_call
from telephony.transcripts.batch import put
from telephony.transcripts.entries import message_entry
from tenants.context import entered
from tenants.models import PhoneNumber
from tenants.services.numbers import announce
from tenants.services.tenants import deactivate_tenant, delete_tenant
from thanos.encryption import encrypt


def carried(providers, call):
    made = CarrierCall(providers.network, from_number="+1", to_number="+15550100", caller=Caller([]))
    made.sid = call.call_sid
    providers.network.calls[call.call_sid] = made
    return made


def test_switching_a_tenant_off_ends_its_calls_and_nobody_elses(alice, bob, providers):
    with entered(bob):
        his = carried(providers, make_call(status=CallStatus.IN_PROGRESS))
    with entered(alice):
        hers = [make_call(status=CallStatus.IN_PROGRESS) for _ in range(3)]
        at_carrier = [carried(providers, call) for call in hers]

    deactivate_tenant(tenant=alice)

    with entered(alice):
        assert set(Call.objects.values_list("closing_reason", flat=True)) == {EndedReason.TENANT_INACTIVE}
    assert [call._instructions.get_nowait() for call in at_carrier] == [("end", "completed")] * 3
    assert his._instructions.empty()


@pytest.mark.parametrize("name", ["incoming-call", "call-continue"])
def test_a_tenant_that_is_off_takes_no_call_and_continues_none(alice, client, name):
    with entered(alice):
        call = make_call(status=CallStatus.IN_PROGRESS, stream_count=1, answered_at=timezone.now())
    deactivate_tenant(tenant=alice)
    form = incoming_form(CallSid=call.call_sid if name == "call-continue" else "CA" + "7" * 32)
    url = f"https://calls.example/api/webhooks/{name}"

    answer = client.post(f"/api/webhooks/{name}", form, headers=sign("test-token", url, form)).content.decode()

    assert "cannot be reached" in answer
    assert "<Connect>" not in answer
    if name == "incoming-call":
        with entered(alice):
            assert Call.objects.get(call_sid=form["CallSid"]).ended_reason == EndedReason.TENANT_INACTIVE


def test_deleting_a_tenant_takes_its_last_words_and_recordings_into_the_export_and_off_the_disk(alice, bob):
    kept = []
    for tenant in (alice, bob):
        with entered(tenant):
            call = make_finished_call()
            name = default_storage.save(
                f"{tenant.schema_name}/recordings/RE.wav.sealed", ContentFile(encrypt(b"RIFF sound"))
            )
            status = RecordingStatus.STORED
            Recording.objects.create(
                call=call, recording_sid="RE1", status=status, file_name=name, stored_at=timezone.now()
            )
            put([message_entry(tenant.schema_name, str(call.pk), 1, "user", "the very last words")])
            kept.append(name)

    path = delete_tenant(tenant=alice)

    with tarfile.open(path) as archive:
        files = {
            member.name.split("/", 1)[-1]: archive.extractfile(member) for member in archive.getmembers() if member.isfile()
        }
        assert files["recordings/RE1.wav"].read() == b"RIFF sound"
        assert b"the very last words" in files["rows.jsonl"].read()
    assert [default_storage.exists(name) for name in kept] == [False, True]


def test_a_number_that_moves_gets_a_line_where_it_goes(alice, bob):
    number = PhoneNumber.objects.get(number="+15550100")
    number.tenant = bob
    number.save()

    announce(number)
    announce(number)

    with entered(bob):
        assert Line.objects.filter(phone_number="+15550100").count() == 1
