"""Whole calls through a whole installation, over real sockets: what a caller hears, and what is kept."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from sandbox.caller import Line
from sandbox.twilio.call import CallFaults
from sandbox.twilio.signing import sign
from sandbox.twilio.stream import StreamFaults
from tests.installation import kinds, wait_for, words

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("calls")]

OPEN = "When are you open?"
OPEN_ANSWER = "We are open from nine to six."
PRICE = "How much is a haircut?"
PRICE_ANSWER = "A haircut is thirty dollars."
BYE = "Thank you, goodbye."
BYE_ANSWER = "Thank you for calling. Goodbye!"


def test_a_caller_asks_interrupts_and_says_goodbye(house):
    call = house.ring(
        Line(OPEN),
        Line("Do you sell vouchers?"),
        Line("Wait, how much is a haircut?", when="interrupt", after_s=0.6),
        Line(BYE),
        caller_number="+15557654321",
    )
    house.finish(call)
    stored = house.settled(call)

    # The stand-in recognises its own caller by a fingerprint of every byte: nothing was changed or lost on the way.
    assert words(stored, "user") == [OPEN, "Do you sell vouchers?", "Wait, how much is a haircut?", BYE]
    assert words(stored, "assistant")[:2] == ["Hello.", OPEN_ANSWER]
    assert words(stored, "assistant")[-2:] == [PRICE_ANSWER, BYE_ANSWER]
    assert [message["sequence"] for message in stored["messages"]] == sorted(m["sequence"] for m in stored["messages"])
    assert (stored["status"], stored["ended_reason"], stored["fault"]) == ("completed", "agent-hung-up", "agent")
    assert stored["duration_s"] == call.duration_s
    assert kinds(stored).count("barge-in") == 1
    assert {"admitted", "stream-started", "engine-connected", "tool-call", "tool-result", "ended"} <= set(kinds(stored))
    latencies = [message["latency"] for message in stored["messages"] if message["latency"]]
    assert all(latency["total"] > 0 for latency in latencies)  # how long is for the benchmarks to say
    assert len(latencies) == 4

    stream = call.streams[0]
    assert stream.playback.cleared_bytes > 8000  # at least a second of the long answer was not heard
    assert stream.frames_received > 50

    assert house.api("GET", "two.test", f"/calls/?call_sid={call.sid}")["results"] == []
    log = house.log.read_text()
    for secret in ("5557654321", "vouchers", "haircut", "from nine to six", house.environment["TWILIO_AUTH_TOKEN"]):
        assert secret not in log


def test_hanging_up_mid_word(house):
    call = house.finish(house.ring(Line("I would like to know whether you", hang_up_mid_word=True)))

    stored = house.settled(call)

    assert (stored["ended_reason"], stored["fault"]) == ("caller-hung-up", "caller")
    assert words(stored) == ["Hello."]


def test_a_transfer_that_is_taken(house):
    house.providers.network.people["+15550999"] = "completed"
    call = house.finish(house.ring(Line("Give me a person, please.")))

    stored = house.settled(call)

    assert stored["ended_reason"] == "transferred"
    assert [event["kind"] for event in call.events if event["kind"].startswith("dial")] == ["dialling", "dialled"]
    assert "One moment, I'll put you through to a person now." in words(stored)


def test_a_transfer_nobody_takes_comes_back_to_the_agent(house):
    call = house.finish(house.ring(Line("Give me a person, please."), Line(OPEN), Line(BYE)))

    stored = house.settled(call)

    assert any("nobody is free" in text for text in call.spoken)
    assert OPEN_ANSWER in words(stored)
    assert len(call.streams) == 2
    assert stored["ended_reason"] == "agent-hung-up"


def test_keys_are_heard(house):
    call = house.finish(house.ring(Line(digits="12"), Line(BYE, after_s=4, when="wait")))

    stored = house.settled(call)

    assert kinds(stored).count("dtmf") == 2
    assert any("pressed 12" in str(message) for message in house.providers.agent.messages_seen)


# --- the carrier's side ----------------------------------------------------------------------------------------------


def test_a_lost_stream_is_resumed_with_what_was_said(house):
    faults = CallFaults(stream=StreamFaults(lose_after_s=8))
    call = house.finish(house.ring(Line(OPEN), Line(PRICE, when="wait", after_s=9), Line(BYE), faults=faults))

    stored = house.settled(call)

    assert len(call.streams) == 2
    assert {OPEN_ANSWER, PRICE_ANSWER} <= set(words(stored, "assistant"))
    assert "resumed" in kinds(stored)
    history = house.providers.agent.settings_seen[-1]["agent"]["context"]["messages"]
    assert [item["content"] for item in history][:3] == ["Hello.", OPEN, OPEN_ANSWER]


def test_a_bad_network_does_not_spoil_a_word(house):
    garbage = ["{", "[]", '{"event":"media"}', '{"event":"start","start":[]}', "x" * 5000]
    spoilt = [StreamFaults(repeat_chunks=True), StreamFaults(garbage=garbage), StreamFaults(delay_s=0.3)]
    calls = [house.ring(Line(OPEN), Line(BYE), faults=CallFaults(stream=faults)) for faults in spoilt]

    for call in calls:
        stored = house.settled(house.finish(call))
        assert words(stored, "user") == [OPEN, BYE]
        assert stored["ended_reason"] == "agent-hung-up"


def test_a_socket_without_the_calls_token_hears_nothing(house):
    missing, made_up = StreamFaults(parameters={}), StreamFaults(parameters={"call_token": "t_x.made-up"})
    of_another_call = StreamFaults(call_sid="CA" + "9" * 32)
    calls = [house.ring(faults=CallFaults(stream=faults)) for faults in (missing, made_up, of_another_call)]

    for call in calls:
        house.finish(call)
        assert call.streams and all(stream.frames_received == 0 for stream in call.streams)


def test_a_stream_that_never_starts_is_closed_and_tried_again(house):
    call = house.ring(faults=CallFaults(stream=StreamFaults(never_start=True)))

    wait_for(lambda: len(call.streams) > 1, 60, "the second stream")
    call.update(status="completed")
    house.finish(call)


def test_the_status_may_come_twice_early_or_late(house):
    ways = [CallFaults(status_twice=True), CallFaults(status_before_end=True), CallFaults(status_delay_s=2)]
    calls = [house.ring(Line(OPEN), Line(BYE), faults=faults) for faults in ways]

    for call in calls:
        stored = house.settled(house.finish(call))
        assert kinds(stored).count("ended") == 1
        assert stored["status"] == "completed"


def test_a_status_that_never_comes_is_asked_for(house):
    call = house.finish(house.ring(Line(BYE), faults=CallFaults(no_status=True)))

    stored = house.settled(call, timeout_s=60)

    assert (stored["ended_reason"], stored["duration_s"]) == ("agent-hung-up", call.duration_s)


def test_two_organisations_with_the_same_caller_at_once(house):
    calls = {"one.test": house.ring(Line(OPEN), Line(BYE)), "two.test": house.ring(Line(PRICE), Line(BYE), to="+15550200")}
    other = {"one.test": "two.test", "two.test": "one.test"}

    for domain, call in calls.items():
        stored = house.settled(house.finish(call), domain)
        assert words(stored, "user") == [OPEN if domain == "one.test" else PRICE, BYE]
        assert house.stored(call, other[domain]) is None


def test_sixty_calls_on_a_limit_of_fifty(house):
    def ask(number: int) -> str:
        form = {"CallSid": f"CA{number:032x}", "AccountSid": "AC1", "From": f"+1555900{number:04}", "To": "+15550200"}
        form |= {"CallStatus": "ringing", "Direction": "inbound"}
        url = f"{house.url}/api/webhooks/incoming-call"
        return requests.post(url, data=form, headers=sign("e2e-token", url, form), timeout=20).text

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(ask, range(60)))

    assert sum("<Connect>" in answer for answer in answers) == 50
    assert sum("busy" in answer for answer in answers) == 10
    other = house.finish(house.ring(Line(BYE)))  # the other organisation does not notice
    assert house.settled(other)["ended_reason"] == "agent-hung-up"


def test_a_recording_is_fetched_sealed_and_playable(house):
    house.set_lines("one.test", record_calls=True)
    try:
        call = house.finish(house.ring(Line(OPEN), Line(BYE)))
        stored = house.settled(
            call, until=lambda stored: {"status": "stored"} in [event["detail"] for event in stored["events"]]
        )
    finally:
        house.set_lines("one.test", record_calls=False)

    assert stored["ended_reason"] == "agent-hung-up"
    files = list((house.folder / "files").rglob("*.sealed"))
    assert files
    assert all(b"RIFF" not in path.read_bytes() for path in files)


def test_a_transfer_that_is_announced(house):
    """The person hears what it is about; one takes the call, the other does not, and the caller comes back."""
    house.set_lines("one.test", announces_transfers=True)
    house.providers.network.people["+15550999"] = "completed"
    taken = house.finish(house.ring(Line("Give me a person, please.")))
    house.providers.network.people["+15550999"] = "declines"
    declined = house.finish(house.ring(Line("Give me a person, please."), Line(OPEN), Line(BYE)))
    house.set_lines("one.test", announces_transfers=False)

    (briefed,) = [event for event in taken.events if event["kind"] == "briefed"]
    assert "Give me a person" in briefed["text"]
    assert house.settled(taken)["ended_reason"] == "transferred"
    stored = house.settled(declined)
    assert OPEN_ANSWER in words(stored)
    assert stored["ended_reason"] == "agent-hung-up"
