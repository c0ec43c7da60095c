"""A transfer that is announced: what the person hears, and whether they take it."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from crm.tests.factories import make_contact
from telephony.enums import EndedReason, NextStep
from telephony.models import Call, Line
from telephony.tests.test_webhooks import BASE, post, streaming, verbs
from tenants.context import entered


@pytest.fixture(autouse=True)
def announcing(in_alice):
    Line.objects.update(announces_transfers=True)


def transferring(**changes):
    return streaming(
        next_step=NextStep.TRANSFER, next_number="+15550777", **{"briefing": "They want an invoice explained.", **changes}
    )


def gather(response):
    return ElementTree.fromstring(response.content).find("Gather")


def test_the_person_is_rung_with_a_briefing(in_alice):
    call, form = transferring()
    number = ElementTree.fromstring(post("call-continue", form).content).find("Dial/Number")
    assert number.text == "+15550777"
    assert number.get("url") == f"{BASE}call-briefing?call={call.call_sid}"


def test_the_person_hears_who_and_why_and_takes_the_call_by_a_key(in_alice):
    call, form = transferring(contact=make_contact(contact_name="Cara Caller"))
    leg = {**form, "CallSid": "CA" + "9" * 32, "ParentCallSid": call.call_sid}
    asked = gather(post(f"call-briefing?call={call.call_sid}", leg))
    text = "".join(asked.itertext())
    assert "Cara Caller" in text
    assert "They want an invoice explained." in text
    assert "Press 1" in text
    assert asked.get("action") == f"{BASE}call-briefing?call={call.call_sid}&asked=1"

    assert verbs(post(f"call-briefing?call={call.call_sid}&asked=1", {**leg, "Digits": "1"})) == []
    call.refresh_from_db()
    assert call.transfer_taken_at is not None
    assert verbs(post("call-continue", {**form, "DialCallStatus": "completed"})) == ["Hangup"]
    call.refresh_from_db()
    assert call.closing_reason == EndedReason.TRANSFERRED


@pytest.mark.parametrize("digits", ["2", "", "11"])
def test_another_key_or_none_is_no(in_alice, digits):
    call, form = transferring()
    answer = post(f"call-briefing?call={call.call_sid}&asked=1", {**form, "Digits": digits})
    assert verbs(answer) == ["Hangup"]
    call.refresh_from_db()
    assert call.transfer_taken_at is None


def test_somebody_who_picks_up_and_does_not_take_it_gives_the_caller_back(in_alice):
    call, form = transferring()
    answer = post("call-continue", {**form, "DialCallStatus": "completed"})
    assert verbs(answer) == ["Say", "Connect", "Redirect"]
    call.refresh_from_db()
    assert "do not transfer again" in call.agent_note


def test_a_blind_transfer_stays_one(in_alice):
    Line.objects.update(announces_transfers=False)
    _, form = transferring()
    number = ElementTree.fromstring(post("call-continue", form).content).find("Dial/Number")
    assert number.get("url") is None
    assert verbs(post("call-continue", {**form, "DialCallStatus": "completed"})) == ["Hangup"]


def test_a_number_without_a_contact_is_read_digit_by_digit(in_alice):
    call, form = transferring()
    assert "1 5 5 5 7 0 0 1" in "".join(gather(post(f"call-briefing?call={call.call_sid}", form)).itertext())


def test_nobody_else_hears_it(in_alice, bob, client):
    call, form = transferring()
    unsigned = client.post(f"/api/webhooks/call-briefing?call={call.call_sid}", form)
    assert unsigned.status_code == 403
    assert verbs(post("call-briefing?call=CA" + "0" * 32, form)) == ["Hangup"]
    Call.objects.filter(pk=call.pk).update(status="completed")
    assert verbs(post(f"call-briefing?call={call.call_sid}", form)) == ["Hangup"]
    with entered(bob):
        assert not Call.objects.filter(call_sid=call.call_sid).exists()
