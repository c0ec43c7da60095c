"""Calls whose end nobody told us: the carrier is asked."""

from datetime import timedelta

import pytest
from django.utils import timezone

from sandbox.caller import Caller
from sandbox.twilio.call import CarrierCall
from telephony.enums import CallStatus, Direction, EndedReason
from telephony.models import Call
from telephony.services.finishing import doubtful_calls, reconcile_call
from telephony.services.seats import take_seat
from telephony.tasks import sweep_open_calls
from telephony.tests.factories import make_call, make_finished_call
from telephony.workers import OpenSocket, calls_held, worker

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
