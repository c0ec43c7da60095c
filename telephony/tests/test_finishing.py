"""Calls whose end nobody told us: the carrier is asked."""

from datetime import timedelta

import pytest
from django.utils import timezone

from sandbox.caller import Caller
from sandbox.twilio.call import CarrierCall
from telephony.doctor import findings
from telephony.enums import CallStatus, Direction, EndedReason, EventKind, NextStep
from telephony.models import Call
from telephony.services.entries import note
from telephony.services.finishing import doubtful_calls, reconcile_call
from telephony.services.seats import seats_taken, take_seat
from telephony.tasks import sweep_open_calls
from telephony.tests.factories import add_message, make_call, make_finished_call
from telephony.transcripts.batch import write_pending
from telephony.workers import OpenSocket, calls_held, worker
from tenants.context import entered

NOW = timezone.now()
AGO = NOW - timedelta(minutes=2)


def open_call(**fields):
    return make_call(
        **{"status": CallStatus.IN_PROGRESS, "answered_at": AGO, "started_at": AGO, "stream_count": 1, **fields}
    )


@pytest.fixture
def known_to_carrier(providers):
    def make(call, *, status="completed", seconds=33):
        carried = CarrierCall(providers.network, from_number="+15557001", to_number="+15550100", caller=Caller([]))
        carried.sid, carried.status = call.call_sid, status
        carried.ended_at = carried.begun + seconds if status == "completed" else None
        providers.network.calls[call.call_sid] = carried
        return carried

    return make


def test_only_calls_without_a_living_stream_are_doubtful(in_alice):
    ended_stream = open_call(stream_ended_at=AGO)
    never_answered = make_call(started_at=AGO)
    held_by_nobody = open_call()
    open_call(stream_ended_at=NOW)
    make_call(started_at=NOW)
    make_finished_call()

    assert set(doubtful_calls(NOW, held=set())) == {ended_stream, never_answered, held_by_nobody}


def test_unknown_holders_accuse_nobody(in_alice):
    open_call()

    assert doubtful_calls(NOW, held=None) == []


async def _report(call, schema):
    worker.opened(1, OpenSocket(call.call_sid, schema))
    worker.start()
    import asyncio

    for _ in range(200):  # a busy machine gets to it a little later
        await asyncio.sleep(0.02)
        if await asyncio.to_thread(calls_held):
            break
    worker._task.cancel()
    worker.closed(1)


def test_a_call_some_worker_holds_is_not_doubtful(in_alice):
    from asgiref.sync import async_to_sync

    call = open_call()
    async_to_sync(_report)(call, in_alice.schema_name)

    assert doubtful_calls(NOW, held=calls_held()) == []


def test_the_carriers_answer_finalises_the_call(in_alice, known_to_carrier):
    call = open_call(stream_ended_at=AGO)
    known_to_carrier(call)

    assert reconcile_call(call=call)

    call.refresh_from_db()
    assert (call.status, call.duration_s, call.ended_reason) == (CallStatus.COMPLETED, 33, EndedReason.CALLER_HUNG_UP)


def test_a_call_the_carrier_still_carries_is_left_alone(in_alice, known_to_carrier):
    call = open_call(stream_ended_at=AGO)
    known_to_carrier(call, status="in-progress")

    assert not reconcile_call(call=call)
    call.refresh_from_db()
    assert call.is_open


def test_a_carrier_that_does_not_answer_is_asked_again(in_alice, providers, known_to_carrier):
    call = open_call(stream_ended_at=AGO)
    known_to_carrier(call)
    providers.sandbox.rest.away = 1

    assert not reconcile_call(call=call)
    assert reconcile_call(call=call)


def test_a_call_the_carrier_does_not_know_ends_by_our_own_evidence(in_alice, providers):
    call = open_call(stream_ended_at=AGO)

    assert reconcile_call(call=call)

    call.refresh_from_db()
    assert (call.ended_reason, call.duration_s) == (EndedReason.STREAM_LOST, 0)


def test_our_own_reason_survives_the_carriers_silence(in_alice, providers):
    call = open_call(stream_ended_at=AGO, closing_reason=EndedReason.CALLER_HUNG_UP)

    reconcile_call(call=call)

    call.refresh_from_db()
    assert call.ended_reason == EndedReason.CALLER_HUNG_UP


def test_a_call_the_carrier_does_not_know_yet_is_given_time(in_alice, providers):
    call = open_call(stream_ended_at=NOW - timedelta(seconds=20))

    assert not reconcile_call(call=call, now=NOW)


def test_a_forgotten_test_call_needs_no_carrier(in_alice):
    call = open_call(direction=Direction.BROWSER, stream_ended_at=AGO)

    assert reconcile_call(call=call)


def test_the_sweep_goes_through_every_tenant(alice, bob, providers, django_capture_on_commit_callbacks):
    from tenants.context import entered

    for tenant in (alice, bob):
        with entered(tenant):
            call = open_call(stream_ended_at=AGO)
            take_seat(schema=tenant.schema_name, call_sid=call.call_sid, tenant_limit=5)

    with django_capture_on_commit_callbacks(execute=True):
        sweep_open_calls()

    for tenant in (alice, bob):
        with entered(tenant):
            assert not Call.objects.open().exists()


# --- the carrier cannot be asked -------------------------------------------------------------------------------------


@pytest.fixture
def carrier_away(providers):
    providers.sandbox.rest.away = 1_000_000


def ended_reason(call):
    call.refresh_from_db()
    return call.ended_reason


def test_a_call_that_was_never_answered_ends_with_its_token(in_alice, carrier_away):
    call = make_call(started_at=NOW - timedelta(minutes=20), token_expires_at=NOW + timedelta(seconds=5))

    assert not reconcile_call(call=call, now=NOW)
    assert reconcile_call(call=call, now=NOW + timedelta(seconds=6))
    assert ended_reason(call) == EndedReason.STREAM_NEVER_STARTED


def test_a_call_whose_stream_ended_is_given_a_quarter_of_an_hour(in_alice, carrier_away):
    call = open_call(stream_ended_at=AGO)

    assert not reconcile_call(call=call, now=AGO + timedelta(minutes=14))
    assert reconcile_call(call=call, now=AGO + timedelta(minutes=16))
    assert ended_reason(call) == EndedReason.STREAM_LOST
    assert call.ended_at == AGO  # when we last saw it, not when we gave it up


def test_a_lost_call_is_measured_up_to_its_last_word(in_alice, carrier_away):
    begun = NOW - timedelta(hours=1)
    call = open_call(started_at=begun, answered_at=begun)
    add_message(call, 1, "user", "Hello", at=begun + timedelta(minutes=50))

    assert not reconcile_call(call=call, now=NOW)  # ten minutes ago somebody spoke
    assert reconcile_call(call=call, now=NOW + timedelta(minutes=6))
    call.refresh_from_db()
    assert call.duration_s == 50 * 60


def test_a_call_with_a_person_is_left_alone_for_as_long_as_they_may_talk(in_alice, carrier_away):
    call = open_call(stream_ended_at=AGO, next_step=NextStep.TRANSFER)
    note(call, EventKind.TRANSFER, {"ringing": "+15550999"})
    write_pending()

    assert not reconcile_call(call=call, now=NOW + timedelta(hours=3))
    assert reconcile_call(call=call, now=NOW + timedelta(hours=5))


def test_a_transfer_nobody_asked_about_is_no_reason_to_wait(in_alice, carrier_away):
    call = open_call(stream_ended_at=AGO, next_step=NextStep.TRANSFER)

    assert reconcile_call(call=call, now=AGO + timedelta(minutes=16))


def test_nothing_stays_open_longer_than_the_longest_call(in_alice, carrier_away):
    begun = NOW - timedelta(hours=5, minutes=1)
    call = open_call(started_at=begun, answered_at=begun)

    assert doubtful_calls(NOW, held={call.call_sid}) == [call]
    assert reconcile_call(call=call, now=NOW)


def test_fifty_calls_nobody_ended_give_their_seats_back_while_the_carrier_is_away(
    alice, bob, providers, carrier_away, django_capture_on_commit_callbacks
):
    long_ago = timezone.now() - timedelta(minutes=3)
    for tenant in (alice, bob):
        with entered(tenant):
            for _ in range(25):
                call = make_call(started_at=long_ago, token_expires_at=long_ago + timedelta(minutes=2))
                take_seat(schema=tenant.schema_name, call_sid=call.call_sid, tenant_limit=50)
            make_call(from_number="+15557009")  # rings at this moment
    asked_before = providers.sandbox.rest.away

    with django_capture_on_commit_callbacks(execute=True):
        sweep_open_calls()

    for tenant in (alice, bob):
        with entered(tenant):
            assert [call.from_number for call in Call.objects.open()] == ["+15557009"]
        assert seats_taken(tenant.schema_name) == 1
    assert asked_before - providers.sandbox.rest.away == 1  # one silence is enough for one sweep


def test_a_carrier_that_cannot_be_asked_is_told_of_until_it_answers(in_alice, providers, known_to_carrier):
    call = open_call(stream_ended_at=NOW)
    known_to_carrier(call, status="in-progress")
    assert not list(findings())

    providers.sandbox.rest.away = 2
    reconcile_call(call=call)
    reconcile_call(call=call)
    ((text, cure),) = findings()
    assert "2 times" in text and "TWILIO_API_URL" in cure

    reconcile_call(call=call)
    assert not list(findings())
