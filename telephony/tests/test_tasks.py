"""Background work against a language model that answers, refuses and fails."""

from __future__ import annotations

from datetime import timedelta

import pytest
from celery.exceptions import Retry
from django.db import OperationalError
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import ConnectionError as RedisConnectionError

from sandbox.deepgram.brain import Thought
from sandbox.models.account import Fault, Kind
from telephony import tasks
from telephony.enums import RecordingStatus, SummaryStatus
from telephony.models import Call, Recording
from telephony.services import summaries
from telephony.services.finishing import finish_call
from telephony.services.seats import seats_taken, take_seat
from telephony.tests.factories import add_message, make_call, make_finished_call
from telephony.transcripts.batch import write_pending
from telephony.twilio.errors import TelephonyError
from tenants.celery import publish
from tenants.context import entered


@pytest.fixture
def model(settings, monkeypatch, providers):
    """The stand-in for a language model, configured as the one that summarises."""
    monkeypatch.setattr(settings.ENV, "openai_base_url", f"{providers.url}/v1")
    monkeypatch.setattr(settings.ENV, "openai_api_key", providers.models.api_key)
    monkeypatch.setattr(settings.ENV, "summary_model", "sandbox-small")
    providers.models.script.append(Thought("They asked when we open."))
    return providers.models


@pytest.fixture
def spoken_call(in_alice):
    call = make_finished_call(summary_status=SummaryStatus.PENDING)
    add_message(call, 1, "user", "When do you open?")
    add_message(call, 2, "assistant", "At nine.")
    return call


def status(call) -> tuple[str, str]:
    call.refresh_from_db()
    return call.summary_status, call.summary


def test_a_summary_is_written_from_what_was_said(spoken_call, model):
    summaries.summarise_call(call_id=str(spoken_call.pk))
    summaries.summarise_call(call_id=str(spoken_call.pk))

    assert status(spoken_call) == (SummaryStatus.DONE, "They asked when we open.")
    (asked,) = model.asked
    assert [one.text for one in asked.said] == ["Caller: When do you open?\nAgent: At nine."]
    assert asked.system == spoken_call.line.summary_prompt


def test_a_long_call_is_summarised_in_parts_and_none_is_left_out(spoken_call, model, monkeypatch):
    monkeypatch.setattr(summaries, "MAX_CHARACTERS", 60)
    for number in range(3, 9):
        add_message(spoken_call, number, "user", f"Sentence {number} of many, and a long one.")
    model.script.clear()
    model.script.extend(Thought(f"Part {number}.") for number in range(1, 20))

    summaries.summarise_call(call_id=str(spoken_call.pk))

    *parts, whole = ["\n".join(one.text for one in asked.said) for asked in model.asked]
    assert "When do you open?" in parts[0] and "Sentence 8 of many" in parts[-1]
    assert len(parts) > 2 and parts[0].startswith(f"[1/{len(parts)}]")
    assert whole.startswith(f"[1/{len(parts)}] Part 1.") and f"Part {len(parts)}." in whole
    assert status(spoken_call) == (SummaryStatus.DONE, f"Part {len(parts) + 1}.")
    write_pending()
    assert not spoken_call.events.exists()


def test_a_call_too_long_even_for_parts_keeps_both_ends_and_says_so(spoken_call, model, monkeypatch):
    monkeypatch.setattr(summaries, "MAX_CHARACTERS", 60)
    monkeypatch.setattr(summaries, "MAX_PIECES", 2)
    for number in range(3, 9):
        add_message(spoken_call, number, "user", f"Sentence {number} of many, and a long one.")
    model.script.clear()
    model.script.extend(Thought(f"Part {number}.") for number in range(1, 20))

    summaries.summarise_call(call_id=str(spoken_call.pk))

    first, last, _ = [asked.said[-1].text for asked in model.asked]
    assert "When do you open?" in first and "Sentence 8 of many" in last
    write_pending()
    (event,) = spoken_call.events.all()
    assert event.detail["code"] == "SUMMARY_LEFT_OUT" and event.detail["characters_left_out"] > 100


def test_without_a_model_the_page_says_so(spoken_call):
    summaries.summarise_call(call_id=str(spoken_call.pk))

    assert status(spoken_call) == (SummaryStatus.NOT_CONFIGURED, "")


def test_a_call_in_which_the_caller_said_nothing_needs_none(in_alice, model):
    call = make_finished_call(summary_status=SummaryStatus.PENDING)
    add_message(call, 1, "assistant", "Hello.")

    summaries.summarise_call(call_id=str(call.pk))

    assert status(call) == (SummaryStatus.NOTHING_SAID, "")
    assert not model.asked


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_model_that_is_busy_is_asked_again(spoken_call, model, code):
    model.faults.append(Fault(Kind.STATUS, status=code, times=9))

    with pytest.raises(Retry):
        tasks.write_summary.apply(kwargs={"call_id": str(spoken_call.pk)}, throw=True)

    assert status(spoken_call)[0] == SummaryStatus.PENDING


@pytest.mark.parametrize("code", [400, 401, 404])
def test_a_model_that_refuses_is_not_asked_again_and_its_answer_stays_out_of_the_log(spoken_call, model, code, caplog):
    model.faults.append(Fault(Kind.STATUS, status=code, code="my secret words"))

    tasks.write_summary.apply(kwargs={"call_id": str(spoken_call.pk)}, throw=True)

    assert status(spoken_call) == (SummaryStatus.FAILED, "")
    assert "secret" not in caplog.text


def test_after_the_last_attempt_the_summary_is_given_up(spoken_call, model):
    model.faults.append(Fault(Kind.STATUS, status=503, times=9))

    tasks.write_summary.apply(kwargs={"call_id": str(spoken_call.pk)}, retries=4, throw=True)

    assert status(spoken_call)[0] == SummaryStatus.FAILED


def test_a_lost_summary_is_claimed_by_one_sweep_only(in_alice):
    late = make_finished_call(summary_status=SummaryStatus.PENDING, ended_at=timezone.now() - timedelta(minutes=3))
    make_finished_call(summary_status=SummaryStatus.PENDING)

    assert summaries.claim_overdue() == [str(late.pk)]
    assert summaries.claim_overdue() == []
    assert summaries.claim_overdue(now=timezone.now() + timedelta(minutes=16))


def test_sweeps_queue_lost_work_in_its_tenant(alice, bob, monkeypatch):
    queued = []
    monkeypatch.setattr(tasks, "publish", lambda task, headers, **kwargs: queued.append((task.name, headers, kwargs)))
    with entered(bob):
        call = make_finished_call(summary_status=SummaryStatus.PENDING, ended_at=timezone.now() - timedelta(minutes=3))
        old = timezone.now() - timedelta(hours=1)
        recording = Recording.objects.create(
            call=call, recording_sid="RE1", status=RecordingStatus.COMPLETED, changed_at=old
        )

    tasks.sweep_summaries()

    headers = {"tenant_schema": bob.schema_name}
    assert queued == [
        ("telephony.write_summary", headers, {"call_id": str(call.pk)}),
        ("telephony.fetch_recording", headers, {"recording_id": recording.pk}),
    ]


def test_one_tenants_trouble_is_not_the_next_ones(alice, bob, monkeypatch):
    seen = []

    def delete():
        from django.db import connection

        seen.append(connection.schema_name)
        raise ValueError

    monkeypatch.setattr(tasks.recordings, "delete_expired", delete)
    tasks.sweep_recordings()

    assert set(seen) == {alice.schema_name, bob.schema_name}


def test_the_sweep_frees_seats_of_calls_that_are_over_and_takes_missing_ones(in_alice, monkeypatch):
    from telephony.services import seats

    running = make_call()
    take_seat(schema=in_alice.schema_name, call_sid="CA-gone", tenant_limit=9)
    monkeypatch.setattr(seats, "SETTLED_S", -1)

    tasks.sweep_open_calls()

    assert seats_taken(in_alice.schema_name) == 1
    assert take_seat(schema=in_alice.schema_name, call_sid=running.call_sid, tenant_limit=1) is seats.Seat.HELD_ALREADY


@pytest.mark.parametrize("error", [RedisConnectionError("away"), OperationalError("away")])
def test_transcripts_wait_for_what_is_away(db, monkeypatch, error):
    def away():
        raise error

    monkeypatch.setattr(tasks, "write_pending", away)

    tasks.write_transcripts()


def test_a_recording_that_is_not_there_yet_is_asked_for_again_and_given_up_in_the_end(in_alice, monkeypatch):
    recording = Recording.objects.create(call=make_call(), recording_sid="RE1", status=RecordingStatus.COMPLETED)

    def not_yet(**_):
        raise TelephonyError("not yet", retryable=True)

    monkeypatch.setattr(tasks.recordings, "download_recording", not_yet)
    with pytest.raises(Retry):
        tasks.fetch_recording.apply(kwargs={"recording_id": recording.pk}, throw=True)
    tasks.fetch_recording.apply(kwargs={"recording_id": recording.pk}, retries=8, throw=True)

    recording.refresh_from_db()
    assert recording.status == RecordingStatus.FAILED


@pytest.mark.parametrize("error", [BrokerError("away"), ConnectionRefusedError()])
def test_a_broker_that_is_away_does_not_undo_the_end_of_a_call(
    in_alice, monkeypatch, error, django_capture_on_commit_callbacks
):
    def away(*args, **kwargs):
        raise error

    monkeypatch.setattr(tasks.write_summary, "apply_async", away)
    call = make_call(answered_at=timezone.now())

    with django_capture_on_commit_callbacks(execute=True):
        finish_call(call=call, status="completed")

    assert not Call.objects.open().exists()
    assert publish(tasks.write_summary, call_id="x") is False
