"""A call can be forgotten: its words, its recording, and who it was. Its cost stays."""

from __future__ import annotations

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone

from agents.collaboration.models import Collaboration
from billing.models import LedgerEntry
from crm.erasing import Person, erasers
from crm.models import Interaction
from crm.tests.factories import make_contact
from telephony.enums import CallStatus, EventKind, RecordingStatus
from telephony.models import Call, CallEvent, CallMessage, Recording
from telephony.services.callers import log_call
from telephony.services.entries import note
from telephony.services.erasing import StillRunningError, erase_call
from telephony.services.metering import meter_call
from telephony.services.recordings import take_recording_status
from telephony.tests.factories import add_message, make_call, make_finished_call
from telephony.transcripts.batch import put, write_pending
from telephony.transcripts.entries import event_entry
from tenants.context import entered, in_public
from tenants.enums import AuditAction
from tenants.models import AuditEvent
from thanos.encryption import encrypt


@pytest.fixture
def spoken(line):
    """A finished call of Ann's, with everything a call can leave behind."""
    make_contact("Ann", phone="+15557001")
    call = make_finished_call(line, summary="She wants red paint.", briefing="Paint", from_raw="sip:+15557001@pbx")
    add_message(call, 1, "user", "I want red paint.")
    note(call, EventKind.TRANSFER, {"ringing": "+15550999"})  # still on its way
    Collaboration.objects.create(call_id=call.pk, trigger="asked", question="Which red?")
    name = default_storage.save("erasing-test.sealed", ContentFile(encrypt(b"RIFF")))
    stored = {"status": RecordingStatus.STORED, "file_name": name, "stored_at": timezone.now()}
    Recording.objects.create(call=call, recording_sid="RE1", **stored)
    log_call(call_id=str(call.pk))
    meter_call(call_id=str(call.pk))
    return call


def is_empty(call) -> bool:
    call.refresh_from_db()
    kept = (call.from_number, call.from_index, call.from_raw, call.summary, call.briefing, call.contact)
    left = [model.objects.filter(call=call).exists() for model in (CallMessage, CallEvent, Recording)]
    return not any(kept) and not any(left) and not Collaboration.objects.filter(call_id=call.pk).exists()


def test_nothing_of_an_erased_call_is_left_but_its_cost(spoken, django_capture_on_commit_callbacks):
    with in_public():
        ledger = list(LedgerEntry.objects.order_by("pk").values())
    name = spoken.recordings.get().file_name

    with django_capture_on_commit_callbacks(execute=True):
        assert erase_call(call=spoken)

    assert is_empty(spoken) and not default_storage.exists(name)
    assert Interaction.objects.get(natural_key=f"call:{spoken.pk}").content == ""
    assert not Call.objects.with_words("paint") and not Call.objects.with_number("+15557001")
    with in_public():
        assert list(LedgerEntry.objects.order_by("pk").values()) == ledger != []
    assert not any("5557001" in str(value) for row in ledger for value in row.values())
    assert erase_call(call=spoken) is False


def test_what_comes_late_does_not_bring_an_erased_call_back(spoken, in_alice, providers, monkeypatch):
    erase_call(call=spoken)
    spoken.refresh_from_db()
    forgotten = []
    monkeypatch.setattr("telephony.services.recordings.publish", lambda task, **given: forgotten.append(given))

    put([event_entry(in_alice.schema_name, str(spoken.pk), 9, EventKind.TRANSFER, {"to": "+15550999"})])
    write_pending()
    log_call(call_id=str(spoken.pk))
    take_recording_status(call=spoken, form={"RecordingSid": "RE2", "RecordingStatus": "completed"})

    assert is_empty(spoken)
    assert forgotten == [{"recording_sid": "RE2"}]  # at the carrier, too


def test_a_running_call_is_not_erased(line, visit, owner):
    call = make_call(line, status=CallStatus.IN_PROGRESS)

    with pytest.raises(StillRunningError):
        erase_call(call=call)
    assert visit(owner).delete(f"/api/v1/calls/{call.pk}/").status_code == 409
    assert call.from_number == Call.objects.get().from_number


def test_owners_and_admins_erase_a_call_after_a_question(spoken, visit, owner, admin, member, stranger, alice):
    path = f"/calls/{spoken.pk}/erase/"
    assert visit(member).post(path, {"confirmed": "on"}).status_code == 403
    assert visit(stranger).post(path, {"confirmed": "on"}).status_code == 404
    assert visit(admin).get(path).status_code == 200
    assert visit(admin).post(path, {}).status_code == 422
    assert not is_empty(spoken)

    assert visit(admin).post(path, {"confirmed": "on"}).status_code == 302

    assert is_empty(spoken)
    page = visit(owner).get(spoken.get_absolute_url()).content.decode()
    assert "This call was erased" in page and "+15557001" not in page and "red paint" not in page
    with in_public():
        (event,) = AuditEvent.objects.filter(action=AuditAction.CALL_ERASED)
        assert (event.actor, event.target, event.tenant) == (admin, f"call {spoken.pk}", alice)


def test_the_api_erases_a_call_for_those_who_may(spoken, visit, owner, member, stranger):
    path = f"/api/v1/calls/{spoken.pk}/"
    assert visit(member).delete(path).status_code == 403
    assert visit(stranger).delete(path).status_code == 404
    assert not is_empty(spoken)

    assert visit(owner).delete(path).status_code == 204

    assert is_empty(spoken)
    told = visit(owner).get(path).json()
    assert told["erased_at"] and (told["from_number"], told["messages"], told["events"]) == ("", [], [])
    with in_public():
        assert AuditEvent.objects.filter(action=AuditAction.CALL_ERASED).count() == 1


def test_a_persons_calls_are_erased_by_contact_and_by_number(spoken, line, bob):
    contact = spoken.contact_id or Call.objects.get(pk=spoken.pk).contact_id
    before = make_finished_call(line, from_number="+15557002")  # of the same person, before anybody knew
    other = make_finished_call(line, from_number="+15558000")
    running = make_call(line, from_number="+15557002")
    with entered(bob):
        theirs = make_finished_call(from_number="+15557002")

    person = Person(contact_ids=(contact,), numbers=("+15557002",), addresses=())
    assert erasers()["telephony"](person) == {"calls": 2}

    assert is_empty(spoken) and is_empty(before)
    for kept in (other, running):
        kept.refresh_from_db()
        assert kept.from_number and kept.erased_at is None
    with entered(bob):
        theirs.refresh_from_db()
        assert theirs.from_number == "+15557002"
