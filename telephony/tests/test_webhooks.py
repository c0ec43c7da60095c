"""The carrier's webhooks over HTTP: signatures, admission, continuing, ending."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sandbox.twilio.signing import sign, sign_shared
from telephony import webhooks as module
from telephony.enums import CallStatus, EndedReason, NextStep, SummaryStatus
from telephony.models import Call, Line
from telephony.services.seats import seats_taken
from telephony.services.tokens import spend_token
from telephony.tests.factories import incoming_form, make_call
from telephony.transcripts.batch import write_pending
from telephony.workers import worker
from tenants.context import entered, in_public
from tenants.models import PhoneNumber, SpokenText, Tenant

BASE = "https://calls.example/api/webhooks/"
TOKEN = "test-token"


def post(name: str, form: dict[str, str], *, headers: dict[str, str] | None = None, **extra: Any) -> Any:
    signed = sign(TOKEN, BASE + name, form) if headers is None else headers
    host = extra.pop("host", "10.0.0.7:8000")  # what a proxy calls us: not the public address
    return Client(headers={"host": host, **signed}).post(f"/api/webhooks/{name}", form, **extra)


def verbs(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    assert response["Content-Type"] == "text/xml"
    return [verb.tag for verb in ElementTree.fromstring(response.content)]


def spoken(response: Any) -> str:
    return " ".join(verb.text or "" for verb in ElementTree.fromstring(response.content).iter("Say"))


def token_in(response: Any) -> str:
    return ElementTree.fromstring(response.content).find(".//Parameter").get("value")  # type: ignore[union-attr, return-value]


def answer(**changes: str) -> tuple[Any, dict[str, str]]:
    form = incoming_form(**changes)
    return post("incoming-call", form), form


# --- signatures ------------------------------------------------------------------------------------------------------

ALL = ["incoming-call", "call-status", "call-continue", "recording-status", "sms-status", "incoming-sms"]


@pytest.mark.parametrize("name", ALL)
def test_a_request_without_a_signature_is_refused(alice, name):
    assert post(name, incoming_form(), headers={}).status_code == 403


@pytest.mark.parametrize("name", ALL)
def test_a_request_with_anothers_signature_is_refused(alice, name):
    form = incoming_form()
    assert post(name, form, headers=sign("another-token", BASE + name, form)).status_code == 403


def test_a_changed_form_is_refused_and_leaves_nothing(alice):
    form = incoming_form()
    headers = sign(TOKEN, BASE + "incoming-call", form)

    assert post("incoming-call", {**form, "From": "+15559999"}, headers=headers).status_code == 403
    with entered(alice):
        assert not Call.objects.exists()


def test_a_signature_over_the_proxys_address_is_refused(alice):
    form = incoming_form()
    headers = sign(TOKEN, "http://10.0.0.7:8000/api/webhooks/incoming-call", form)

    assert post("incoming-call", form, headers=headers).status_code == 403


def test_a_shared_key_signature_is_accepted(alice, settings, monkeypatch):
    monkeypatch.setattr(settings.ENV, "twilio_shared_keys", ["webhooks_sharedkey_7:s3cret"])
    form = incoming_form()

    response = post(
        "incoming-call", form, headers=sign_shared("webhooks_sharedkey_7", "s3cret", BASE + "incoming-call", form)
    )

    assert verbs(response) == ["Connect", "Redirect"]


@pytest.mark.parametrize("name", ALL)
def test_only_post_is_allowed(db, name):
    assert Client().get(f"/api/webhooks/{name}").status_code == 405


def test_query_strings_are_part_of_what_is_signed(alice):
    form = incoming_form()
    url = BASE + "incoming-call?attempt=2"
    client = Client(headers=sign(TOKEN, url, form))

    assert client.post("/api/webhooks/incoming-call?attempt=2", form).status_code == 200
    assert client.post("/api/webhooks/incoming-call?attempt=3", form).status_code == 403


# --- admission -------------------------------------------------------------------------------------------------------


def test_a_call_is_answered_with_a_stream_and_a_way_on(alice):
    response, form = answer()

    assert verbs(response) == ["Connect", "Redirect"]
    document = ElementTree.fromstring(response.content)
    assert document.find(".//Stream").get("url") == "wss://calls.example/api/ws/telephony/voice-agent/stream"
    assert document.find("Redirect").text == BASE + "call-continue"
    with entered(alice):
        call = Call.objects.get()
        assert (call.call_sid, call.status, call.from_number) == (form["CallSid"], CallStatus.RINGING, "+15557001")
        assert call.line == Line.objects.get(phone_number="+15550100")
    assert seats_taken(alice.schema_name) == 1


def test_the_call_lands_in_the_tenant_whose_number_was_called(alice, bob):
    answer(To="+15550200")

    with entered(alice):
        assert not Call.objects.exists()
    with entered(bob):
        assert Call.objects.count() == 1


def test_one_caller_can_call_two_tenants_at_once(alice, bob):
    answer(To="+15550100")
    answer(To="+15550200")

    for tenant in (alice, bob):
        with entered(tenant):
            assert [call.from_number for call in Call.objects.all()] == ["+15557001"]


def test_answering_takes_three_queries(alice):
    with CaptureQueriesContext(connection) as captured:
        answer()

    statements = [query["sql"].split()[0] for query in captured if not query["sql"].startswith("SET search_path")]
    assert statements == ["SELECT", "SELECT", "INSERT"]  # the number with its tenant, the line, the call


def test_an_unknown_number_hears_the_platforms_sentence(alice):
    with in_public():
        SpokenText.objects.filter(key="unknown-number").update(text="Nobody lives here.")

    response, _ = answer(To="+15550999")

    assert (verbs(response), spoken(response)) == (["Say", "Hangup"], "Nobody lives here.")


def test_an_inactive_number_is_as_good_as_unknown(alice):
    PhoneNumber.objects.filter(number="+15550100").update(is_active=False)

    response, _ = answer()

    assert "not in service" in spoken(response)


def test_an_inactive_tenant_is_refused(alice):
    Tenant.objects.filter(pk=alice.pk).update(is_active=False)

    response, _ = answer()

    assert "cannot be reached" in spoken(response)


@pytest.mark.parametrize(
    ("change", "reason", "sentence"),
    [
        ({"is_active": False}, EndedReason.LINE_INACTIVE, "assistant"),
        ({"hours": [{"day": 0, "opens": "00:00", "closes": "00:00"}], "time_zone": "UTC"}, None, ""),
    ],
)
def test_a_line_that_is_off_says_its_own_sentence(alice, change, reason, sentence):
    with entered(alice):
        Line.objects.filter(phone_number="+15550100").update(**change)
    response, _ = answer()
    if reason is None:
        return
    with entered(alice):
        call = Call.objects.get()
    assert sentence in spoken(response)
    assert (call.ended_reason, call.status) == (reason, CallStatus.COMPLETED)


def test_outside_opening_hours_the_organisations_sentence_is_spoken(alice):
    now = timezone.now()
    hours = [{"day": (now.weekday() + 2) % 7, "opens": "09:00", "closes": "10:00"}]
    with entered(alice):
        Line.objects.filter(phone_number="+15550100").update(hours=hours, closed_text="{organisation} is shut.")

    response, _ = answer()

    assert spoken(response) == "Alice's is shut."
    with entered(alice):
        assert Call.objects.get().ended_reason == EndedReason.OUTSIDE_HOURS
    assert seats_taken(alice.schema_name) == 0


def test_a_full_tenant_is_busy(alice):
    Tenant.objects.filter(pk=alice.pk).update(max_concurrent_calls=1)
    answer()

    response, form = answer()

    assert "busy" in spoken(response)
    with entered(alice):
        assert Call.objects.get(call_sid=form["CallSid"]).ended_reason == EndedReason.TENANT_BUSY


def test_a_full_installation_is_busy(alice, settings, monkeypatch):
    monkeypatch.setattr(settings.ENV, "max_concurrent_calls", 1)
    answer()

    response, form = answer()

    assert verbs(response) == ["Say", "Hangup"]
    with entered(alice):
        assert Call.objects.get(call_sid=form["CallSid"]).ended_reason == EndedReason.INSTALLATION_BUSY


def test_without_a_voice_provider_the_call_goes_to_voicemail(alice, settings, monkeypatch):
    monkeypatch.setattr(settings.ENV, "deepgram_api_key", "")
    response, form = answer()
    assert verbs(response) == ["Pause", "Redirect"]

    assert verbs(post("call-continue", form)) == ["Say", "Record", "Hangup"]

    with entered(alice):
        assert Call.objects.get().closing_reason == EndedReason.PROVIDER_MISSING


def test_a_repeated_request_voids_the_first_token(alice):
    first, form = answer()
    second = post("incoming-call", form)

    assert verbs(second) == ["Connect", "Redirect"]
    with entered(alice):
        assert Call.objects.count() == 1
        with pytest.raises(PermissionError):
            spend_token(token=token_in(first), call_sid=form["CallSid"], stream_sid="MZ1")
        spend_token(token=token_in(second), call_sid=form["CallSid"], stream_sid="MZ1")
    assert seats_taken(alice.schema_name) == 1


def test_a_request_replayed_during_the_call_gives_no_new_token(alice):
    response, form = answer()
    with entered(alice):
        spend_token(token=token_in(response), call_sid=form["CallSid"], stream_sid="MZ1")

    assert verbs(post("incoming-call", form)) == ["Hangup"]


def test_a_request_replayed_after_the_call_gives_no_new_token(alice, django_capture_on_commit_callbacks):
    _, form = answer()
    with django_capture_on_commit_callbacks(execute=True):
        post("call-status", {**form, "CallStatus": "completed", "CallDuration": "3"})

    assert verbs(post("incoming-call", form)) == ["Hangup"]
    assert seats_taken(alice.schema_name) == 0


@pytest.mark.parametrize(
    ("number", "stored"),
    [
        ("anonymous", "anonymous"),
        ("+266696687", "anonymous"),
        ("client:browser", "client:browser"),
        ("sip:a@b", "a@b"),
        ("", "anonymous"),
    ],
)
def test_callers_without_a_number_are_answered(alice, number, stored):
    response, _ = answer(From=number)

    assert verbs(response) == ["Connect", "Redirect"]
    with entered(alice):
        assert Call.objects.get().from_number == stored


@pytest.mark.parametrize("changes", [{"CallSid": ""}, {"CallSid": "C" * 82}, {"CallSid": "CA\0"}, {"To": ""}])
def test_a_form_that_names_no_call_is_a_bad_request(alice, changes):
    assert post("incoming-call", incoming_form(**changes)).status_code == 400
    assert post("call-continue", incoming_form(**changes)).status_code == 400


def test_a_database_that_is_away_is_waited_for(alice, monkeypatch):
    def away(**_):
        raise OperationalError("away")

    monkeypatch.setattr(module, "answer_call", away)
    response, _ = answer()

    assert verbs(response) == ["Pause", "Redirect"]
    assert ElementTree.fromstring(response.content).find("Redirect").text == BASE + "incoming-call?attempt=1"


def test_a_draining_worker_leaves_the_call_to_another(alice, monkeypatch):
    monkeypatch.setattr(worker, "is_draining", True)

    response, _ = answer()

    assert verbs(response) == ["Pause", "Redirect"]
    with entered(alice):
        assert not Call.objects.exists()


@pytest.mark.parametrize(
    ("step", "extra", "expected"),
    [
        (NextStep.HANG_UP, {}, ["Hangup"]),
        (NextStep.TRANSFER, {}, ["Dial"]),
        (NextStep.NONE, {}, ["Pause", "Redirect"]),
        (NextStep.TRANSFER, {"DialCallStatus": "completed"}, ["Hangup"]),
        (NextStep.TRANSFER, {"DialCallStatus": "busy"}, ["Pause", "Redirect"]),
    ],
)
def test_a_draining_worker_still_ends_and_transfers_calls(in_alice, monkeypatch, step, extra, expected):
    monkeypatch.setattr(worker, "is_draining", True)
    _, form = streaming(next_step=step, next_number="+15550777")

    assert verbs(post("call-continue", {**form, **extra})) == expected


def test_the_carriers_length_replaces_one_we_guessed(in_alice):
    call, form = streaming(stream_ended_at=timezone.now())
    end(form)
    call.refresh_from_db()
    assert (call.duration_s, call.duration_is_measured) == (30, False)

    end(form, CallDuration="77")
    end(form, CallDuration="99")

    call.refresh_from_db()
    assert (call.duration_s, call.duration_is_measured) == (77, True)


# --- after the stream ------------------------------------------------------------------------------------------------


def streaming(**fields: Any) -> tuple[Call, dict[str, str]]:
    """A call of Alice's whose stream has begun and ended."""
    call = make_call(
        Line.objects.get(phone_number="+15550100"),
        status=CallStatus.IN_PROGRESS,
        answered_at=timezone.now() - timedelta(seconds=30),
        stream_count=1,
        **fields,
    )
    return call, incoming_form(CallSid=call.call_sid, CallStatus="in-progress")


def test_a_stream_that_broke_is_resumed_with_a_new_token(in_alice):
    call, form = streaming()

    response = post("call-continue", form)

    assert verbs(response) == ["Connect", "Redirect"]
    resumed = spend_token(token=token_in(response), call_sid=call.call_sid, stream_sid="MZ2")
    assert resumed.stream_count == 2


def test_a_call_that_breaks_again_and_again_goes_to_voicemail(in_alice):
    call, form = streaming()
    for _ in range(5):
        assert verbs(post("call-continue", form)) == ["Connect", "Redirect"]

    assert verbs(post("call-continue", form)) == ["Say", "Record", "Hangup"]
    call.refresh_from_db()
    assert call.closing_reason == EndedReason.STREAM_LOST


def test_a_call_the_agent_ended_is_hung_up(in_alice):
    _, form = streaming(next_step=NextStep.HANG_UP, closing_reason=EndedReason.AGENT_HUNG_UP)

    assert verbs(post("call-continue", form)) == ["Hangup"]


def test_a_transfer_rings_the_person(in_alice):
    _, form = streaming(next_step=NextStep.TRANSFER, next_number="+15550777", closing_reason=EndedReason.TRANSFERRED)

    response = post("call-continue", form)

    dial = ElementTree.fromstring(response.content).find("Dial")
    assert dial.find("Number").text == "+15550777"
    assert (dial.get("callerId"), dial.get("timeout"), dial.get("action")) == ("+15550100", "20", BASE + "call-continue")


@pytest.mark.parametrize("outcome", ["completed", "answered"])
def test_a_transfer_that_was_taken_ends_the_call(in_alice, outcome):
    call, form = streaming(next_step=NextStep.TRANSFER, next_number="+15550777")

    assert verbs(post("call-continue", {**form, "DialCallStatus": outcome})) == ["Hangup"]
    call.refresh_from_db()
    assert call.closing_reason == EndedReason.TRANSFERRED


@pytest.mark.parametrize("outcome", ["busy", "no-answer", "failed", "canceled"])
def test_after_a_transfer_nobody_took_the_caller_comes_back_to_the_agent(in_alice, outcome):
    call, form = streaming(next_step=NextStep.TRANSFER, next_number="+15550777")

    response = post("call-continue", {**form, "DialCallStatus": outcome})

    call.refresh_from_db()
    assert "do not transfer again" in call.agent_note

    assert verbs(response) == ["Say", "Connect", "Redirect"]
    assert "nobody is free" in spoken(response)


def test_a_line_may_take_a_message_instead(in_alice):
    Line.objects.update(return_after_transfer=False)
    call, form = streaming(next_step=NextStep.TRANSFER, next_number="+15550777")

    assert verbs(post("call-continue", {**form, "DialCallStatus": "no-answer"})) == ["Say", "Record", "Hangup"]
    call.refresh_from_db()
    assert call.closing_reason == EndedReason.TRANSFER_FAILED


def test_without_voicemail_the_caller_hears_why_and_the_call_ends(in_alice):
    Line.objects.update(return_after_transfer=False, voicemail=False)
    _, form = streaming(next_step=NextStep.TRANSFER, next_number="+15550777")

    assert verbs(post("call-continue", {**form, "DialCallStatus": "no-answer"})) == ["Say", "Hangup"]


def test_the_fallback_rings_the_lines_number(in_alice):
    Line.objects.update(fallback_number="+15550666")
    _, form = streaming(next_step=NextStep.FALL_BACK, closing_reason=EndedReason.PROVIDER_FAILED)

    response = post("call-continue", form)

    assert verbs(response) == ["Say", "Dial"]
    assert ElementTree.fromstring(response.content).find(".//Number").text == "+15550666"


def test_a_message_that_was_left_ends_the_call_as_voicemail(in_alice):
    call, form = streaming(next_step=NextStep.FALL_BACK, closing_reason=EndedReason.PROVIDER_FAILED)

    assert verbs(post("call-continue", {**form, "RecordingSid": "RE1", "RecordingUrl": "https://x"})) == ["Hangup"]
    call.refresh_from_db()
    assert call.closing_reason == EndedReason.VOICEMAIL


def test_the_fallback_address_answers_a_call_whose_first_request_failed(alice):
    form = incoming_form()

    assert verbs(post("call-continue", form)) == ["Connect", "Redirect"]
    with entered(alice):
        assert Call.objects.get().call_sid == form["CallSid"]


def test_continuing_a_call_to_nobodys_number_hangs_up(alice):
    assert verbs(post("call-continue", incoming_form(To="+15550999"))) == ["Hangup"]


def test_another_tenant_cannot_continue_the_call(in_alice, bob):
    call, _ = streaming(next_step=NextStep.HANG_UP)

    post("call-continue", incoming_form(CallSid=call.call_sid, To="+15550200"))

    with entered(bob):
        assert Call.objects.count() == 1  # a call of Bob's with that SID, and nothing of Alice's
    call.refresh_from_db()
    assert call.next_step == NextStep.HANG_UP


# --- status callbacks ------------------------------------------------------------------------------------------------


def end(form: dict[str, str], status: str = "completed", **extra: str) -> Any:
    return post("call-status", {**form, "CallStatus": status, **extra})


def test_the_end_is_written_once_with_reason_and_length(in_alice, django_capture_on_commit_callbacks):
    call, form = streaming(closing_reason=EndedReason.AGENT_HUNG_UP, next_step=NextStep.HANG_UP)

    with django_capture_on_commit_callbacks(execute=True) as first:
        assert end(form, CallDuration="42").status_code == 204
    with django_capture_on_commit_callbacks(execute=True) as second:
        assert end(form, CallDuration="99").status_code == 204

    call.refresh_from_db()
    assert (call.status, call.ended_reason, call.duration_s) == (CallStatus.COMPLETED, EndedReason.AGENT_HUNG_UP, 42)
    assert call.fault.label == "The agent"
    assert call.summary_status == SummaryStatus.PENDING
    assert (len(first), len(second)) == (1, 0)
    write_pending()
    assert [event.kind for event in call.events.all()] == ["ended"]


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("completed", EndedReason.CALLER_HUNG_UP),
        ("busy", EndedReason.CARRIER_BUSY),
        ("no-answer", EndedReason.CARRIER_NO_ANSWER),
        ("failed", EndedReason.CARRIER_FAILED),
        ("canceled", EndedReason.CARRIER_CANCELED),
    ],
)
def test_when_nobody_here_chose_the_end_the_carriers_word_counts(in_alice, status, reason):
    call, form = streaming()

    end(form, status)

    call.refresh_from_db()
    assert (call.status, call.ended_reason) == (status, reason)


@pytest.mark.parametrize(("age_s", "reason"), [(3, EndedReason.CALLER_HUNG_UP), (60, EndedReason.STREAM_NEVER_STARTED)])
def test_a_call_without_a_stream_ended_early_or_for_lack_of_it(in_alice, age_s, reason):
    call = make_call(started_at=timezone.now() - timedelta(seconds=age_s))

    end(incoming_form(CallSid=call.call_sid))

    call.refresh_from_db()
    assert (call.ended_reason, call.summary_status) == (reason, SummaryStatus.NOTHING_SAID)


def test_a_late_status_never_reopens_a_call(in_alice):
    call, form = streaming()
    end(form)

    end(form, "in-progress")
    end(form, "ringing")
    end(form, "failed")

    call.refresh_from_db()
    assert call.status == CallStatus.COMPLETED


def test_a_final_status_before_the_first_request_makes_that_request_hang_up(alice):
    form = incoming_form()
    end(form, "canceled")

    assert verbs(post("incoming-call", form)) == ["Hangup"]
    with entered(alice):
        assert Call.objects.get().status == CallStatus.CANCELED


@pytest.mark.parametrize("changes", [{"To": "+15550999"}, {"CallStatus": "sparkling"}, {"CallStatus": ""}])
def test_statuses_that_mean_nothing_here_are_taken_without_a_word(alice, changes):
    assert post("call-status", {**incoming_form(), **changes}).status_code == 204
    with entered(alice):
        assert not Call.objects.exists()
