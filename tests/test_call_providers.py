"""Whole calls whose providers fail, and calls that specialists join: in an installation of their own."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.caller import Line
from sandbox.deepgram.faults import Fault, Kind
from sandbox.models.account import Fault as ModelFault
from sandbox.models.account import Kind as ModelKind
from tests.installation import kinds, wait_for, words
from tests.test_calls import BYE, OPEN, OPEN_ANSWER

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("providers")]


@pytest.mark.parametrize(
    "faults",
    [
        # Each strikes one of three calls, whichever comes by first: all of them end as if nothing had been.
        [
            Fault(Kind.REFUSE, turn=0, status=503),
            Fault(Kind.DROP, turn=1),
            Fault(Kind.WARN, turn=1, code="SLOW_THINK_REQUEST"),
        ],
        [
            Fault(Kind.REFUSE, turn=0, status=429),
            Fault(Kind.ERROR, turn=1, code="INTERNAL_SERVER_ERROR"),
            Fault(Kind.SPECULATE, turn=1),
        ],
        [Fault(Kind.DEAF, turn=1), Fault(Kind.DEAF, turn=2)],
        [Fault(Kind.STALL_SETTINGS, turn=0), Fault(Kind.SESSION_LIMIT, turn=1), Fault(Kind.STALL, turn=1)],
    ],
    ids=lambda faults: "-".join(fault.kind for fault in faults),
)
def test_a_failing_provider_does_not_cost_the_caller_an_answer(house, faults):
    house.set_lines("one.test", max_dead_air_s=8)
    for fault in faults:
        house.providers.agent.faults.order(fault)
    calls = [house.ring(Line(OPEN), Line(BYE), caller_number=f"+1555720{number}") for number in range(len(faults))]

    for call in calls:
        stored = house.settled(house.finish(call))
        assert words(stored, "user") == [OPEN, BYE]
        assert OPEN_ANSWER in words(stored, "assistant")
        assert words(stored, "assistant")[0] == "Hello."
        assert stored["ended_reason"] == "agent-hung-up"
    assert not house.providers.agent.faults.open


def test_a_provider_that_stays_away_leads_to_the_fallback_number_and_then_a_message(house):
    house.providers.agent.faults.order(Fault(Kind.REFUSE, turn=0, times=9))
    house.providers.agent.faults.order(Fault(Kind.REFUSE, turn=0, times=9))
    call = house.finish(house.ring())

    stored = house.settled(call)

    assert [event["number"] for event in call.events if event["kind"] == "dialling"] == ["+15550999"]
    assert "leave a message" in call.spoken[-1]
    assert stored["ended_reason"] == "voicemail"
    assert house.providers.network.recordings[call.recordings[0]].source == "RecordVerb"


def test_a_faulty_configuration_is_not_tried_twice(house):
    house.providers.agent.faults.order(Fault(Kind.ERROR, turn=0, code="INVALID_SETTINGS"))
    call = house.finish(house.ring())

    stored = house.settled(call)

    assert "reconnect" not in kinds(stored)
    assert stored["ended_reason"] == "voicemail"


# --- specialists who join --------------------------------------------------------------------------------------------

SPECIALIST = "Can I speak to a specialist about sales tax deadlines?"


def joined(house, call):
    """Return what is recorded of the specialists in a call, once its end is."""

    def look():
        found = house.api("GET", "one.test", f"/calls/{house.stored(call)['id']}/collaborations/")
        return found if found and all(one["outcome"] for one in found) else None

    return wait_for(look, 30, "the record of the specialists")


def test_specialists_join_with_the_callers_consent_and_not_without(house):
    consents = house.ring(Line(SPECIALIST), Line("Yes please."), Line(BYE), caller_number="+15557101")
    refuses = house.ring(Line(SPECIALIST), Line("No thanks."), Line(BYE), caller_number="+15557102")
    silent = house.ring(Line(SPECIALIST), Line(BYE, when="wait", after_s=22), caller_number="+15557103")
    for call in (consents, refuses, silent):
        house.finish(call, 120)

    (consented,) = joined(house, consents)
    assert (consented["outcome"], consented["trigger"], consented["consent_words"]) == ("answered", "caller", "Yes please.")
    assert consented["agents"][0]["slug"] == "tax-questions"
    assert consented["output_tokens"] > 0
    heard = words(house.settled(consents), "assistant")
    assert any("May I ask them?" in text for text in heard)
    assert any("One moment" in text for text in heard)
    assert any(consented["answer"][:40] in text for text in heard)
    assert not any("My question was" in text for text in words(house.settled(consents), "user"))

    (refused,) = joined(house, refuses)
    assert (refused["outcome"], refused["consent_words"], refused["agents"]) == ("declined", "No thanks.", [])
    assert any("let us go on" in text for text in words(house.settled(refuses), "assistant"))

    (unanswered,) = joined(house, silent)
    assert (unanswered["outcome"], unanswered["agents"]) == ("unanswered", [])
    for call in (refuses, silent):
        assert house.settled(call)["ended_reason"] in ("agent-hung-up", "caller-silent")


def test_specialists_that_fail_cost_a_sentence(house):
    house.providers.models.faults.append(ModelFault(ModelKind.STATUS, times=50, status=401))
    call = house.finish(house.ring(Line(SPECIALIST), Line("Yes please."), Line(OPEN), Line(BYE)))

    (failed,) = joined(house, call)
    assert failed["outcome"] == "failed"
    assert failed["agents"][0]["problem"] == "refused-key"
    stored = house.settled(call)
    assert any("nobody could help" in text for text in words(stored, "assistant"))
    assert OPEN_ANSWER in words(stored, "assistant")
    assert stored["ended_reason"] == "agent-hung-up"


def test_a_call_that_runs_out_of_money_in_mid_sentence(house):
    """A cent a second, and ten cents for a call: warned at eight, wound down at ten, over at twelve."""
    for provider, item, price in (
        ("twilio", "voice-inbound", "0"),
        ("twilio", "media-stream", "0"),
        ("deepgram", "voice-agent", "0.60"),
    ):
        done = house.manage("set_rate", provider, item, "minute", price)
        assert done.returncode == 0, done.stderr
    house.api("PATCH", "two.test", "/budget/", json={"per_call": "0.10"})
    try:
        vouchers = Line("Do you sell vouchers?")
        script = (Line(OPEN), vouchers, vouchers, vouchers, Line(BYE, when="wait", after_s=40))
        call = house.finish(house.ring(*script, to="+15550200"))
        stored = house.settled(call, "two.test")
    finally:
        house.api("PATCH", "two.test", "/budget/", json={"per_call": None})

    assert stored["ended_reason"] == "budget-reached"
    stages = [event["detail"]["stage"] for event in stored["events"] if event["kind"] == "budget"]
    assert stages == ["warned", "winding_down", "ending"]
    assert "I have to end this call" in words(stored, "assistant")[-1]

    def look() -> dict[str, Any] | None:
        spent = house.api("GET", "two.test", f"/ledger/?subject={stored['id']}")["results"]
        return next((entry for entry in spent if entry["item"] == "voice-agent"), None)

    agent = wait_for(look, 60, "the call to be in the ledger")
    assert float(agent["amount"]) == pytest.approx(float(agent["quantity"]) * 0.6)
    assert house.api("GET", "one.test", f"/ledger/?subject={stored['id']}")["results"] == []
