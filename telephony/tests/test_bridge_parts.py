"""The parts the conversation's machine asks, each by itself."""

from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from telephony.bridge.floor import Floor, Late
from telephony.bridge.heard import Heard
from telephony.bridge.link import RECONNECT_WINDOW_S, RECONNECTS_IN_WINDOW, Link
from telephony.bridge.playback import MARK_GRACE_S, STALE_AUDIO_S, Playback
from telephony.bridge.record import ECHO_S, MOST_UNKNOWN, SEQUENCES_PER_STREAM, Record
from telephony.bridge.toolcalls import HELD_TOOL_S, Fate, ToolCalls
from telephony.engines.base import ToolRequest, Transcript
from telephony.models.calls import split_heard
from telephony.plan import Limits

NOW = 1000.0
SECOND = bytes(8000)
LIMITS = Limits(
    max_call_s=600, length_warning_s=60, silence_prompt_s=8, silence_goodbye_s=20, max_dead_air_s=4
)  # fmt: skip


def name_of(mark: str) -> str:
    return str(json.loads(mark)["mark"]["name"])


def test_marks_come_back_in_order_and_the_last_one_says_that_all_was_played():
    playback = Playback("MZ1", now=NOW)
    playback.add(SECOND, NOW)
    first = name_of(playback.mark())
    playback.add(SECOND, NOW)
    second = name_of(playback.mark())

    assert playback.over_at() == NOW + 2 + MARK_GRACE_S
    assert not playback.take_mark(first, NOW + 1)
    assert playback.is_playing
    assert playback.take_mark(second, NOW + 1.9)
    assert not playback.is_playing
    assert playback.over_at() == NOW + 1.9


def test_a_mark_from_before_the_buffer_was_emptied_says_nothing():
    playback = Playback("MZ1", now=NOW)
    playback.add(SECOND, NOW)
    old = name_of(playback.mark())
    playback.clear(NOW)
    playback.add(SECOND, NOW)
    playback.mark()

    assert not playback.take_mark(old, NOW + 0.1)
    assert playback.is_playing


def test_audio_of_an_interrupted_turn_is_stale_for_a_while():
    playback = Playback("MZ1", now=NOW)
    playback.mute(NOW)

    assert playback.is_stale(NOW + STALE_AUDIO_S - 0.1)
    assert not playback.is_stale(NOW + STALE_AUDIO_S)
    assert not playback.is_muted


@given(st.lists(st.tuples(st.sampled_from(["add", "mark", "clear", "mute", "wait", "back"]), st.floats(0, 5))))
def test_playback_never_waits_for_marks_that_cannot_come(steps):
    """Whatever happens, the marks that are waited for are the ones sent since the buffer was emptied."""
    playback, now, out = Playback("MZ1", now=NOW), NOW, []
    for step, amount in steps:
        match step:
            case "add":
                playback.add(bytes(int(amount * 8000)), now)
            case "mark":
                out.append(name_of(playback.mark()))
            case "clear":
                playback.clear(now)
                out.clear()
            case "mute":
                playback.mute(now)
            case "wait":
                now += amount
            case "back" if out:
                assert playback.take_mark(out.pop(0), now) == (not out)
        assert playback.is_all_played == (not out)
        assert playback.over_at() >= playback.until


def test_the_agent_is_late_before_the_caller_is():
    floor = Floor(LIMITS, now=NOW)
    assert floor.next_late(played_at=NOW + 1, is_busy=False) == (NOW + 9, Late.CALLER)

    floor.caller_said(NOW + 2)
    assert floor.next_late(played_at=NOW + 1, is_busy=False) == (NOW + 6, Late.AGENT)


def test_an_agent_whose_tool_is_at_work_owes_nothing_whoever_speaks_meanwhile():
    floor = Floor(LIMITS, now=NOW)
    floor.caller_said(NOW + 1)

    assert floor.next_late(played_at=NOW, is_busy=True)[0] == math.inf
    assert floor.next_late(played_at=NOW, is_busy=False) == (NOW + 5, Late.AGENT)


def test_nobody_is_late_while_a_tool_works_or_somebody_else_has_the_floor():
    floor = Floor(LIMITS, now=NOW)
    assert floor.next_late(played_at=NOW, is_busy=True)[0] == math.inf
    floor.is_held = True
    assert floor.next_late(played_at=NOW, is_busy=False)[0] == math.inf


def test_the_provider_is_given_up_after_so_many_losses_in_a_while():
    link = Link(now=NOW, max_dead_air_s=4)
    assert link.unreachable_at() == NOW + 4
    link.connected()
    assert link.unreachable_at() == math.inf

    for number in range(RECONNECTS_IN_WINDOW):
        assert link.may_reconnect(NOW + number)
        link.reconnecting(NOW + number, mid_turn=True)

    assert link.unreachable_at() == NOW + 4  # since the first loss, not the last
    assert not link.may_reconnect(NOW + RECONNECTS_IN_WINDOW)
    assert link.may_reconnect(NOW + RECONNECT_WINDOW_S + RECONNECTS_IN_WINDOW)


def test_nothing_final_is_done_while_the_caller_speaks():
    calls, book, look = ToolCalls({"book"}), ToolRequest("1", "book", "{}"), ToolRequest("2", "look_up", "{}")

    held, may_book = calls.take(book, NOW, caller_speaks=True)
    begun, may_look = calls.take(look, NOW, caller_speaks=True)
    assert (may_book, may_look) == (False, True)
    assert calls.held_until() == NOW + HELD_TOOL_S
    assert calls.release() == [book]
    assert calls.held_until() == math.inf
    assert calls.finish(held, "booked") == (Fate.WANTED, [(held, "booked")])
    assert calls.finish(held, "again") == (Fate.UNWANTED, [])
    assert calls.cancel("2") == [(begun, True)]
    assert not calls.is_busy


def test_answers_under_one_id_are_given_in_the_order_they_were_asked_for():
    calls = ToolCalls(set())
    first, second, other = (
        calls.take(ToolRequest(identifier, name, "{}"), NOW, caller_speaks=False)[0]
        for identifier, name in [("", "a"), ("", "b"), ("x", "c")]
    )

    assert calls.finish(second, "B") == (Fate.WANTED, [])
    assert calls.is_busy
    assert calls.finish(other, "C") == (Fate.WANTED, [(other, "C")])
    assert calls.finish(first, "A") == (Fate.WANTED, [(first, "A"), (second, "B")])
    assert not calls.is_busy


def test_the_provider_takes_back_the_latest_requests_that_have_the_id():
    calls = ToolCalls({"book"})
    calls.begin_batch()
    old, _ = calls.take(ToolRequest("call_0", "look_up", "{}"), NOW, caller_speaks=False)
    calls.begin_batch()
    new, _ = calls.take(ToolRequest("call_0", "book", "{}"), NOW, caller_speaks=True)

    assert calls.cancel("call_0") == [(new, False)]
    assert calls.finish(old, "found") == (Fate.WANTED, [(old, "found")])


@given(st.lists(st.tuples(st.sampled_from(["", "call_0", "call_1"]), st.booleans()), max_size=8), st.randoms())
def test_every_request_is_answered_once_under_its_id_and_in_order(asked, random):
    calls = ToolCalls(set())
    requests = []
    for identifier, begins in asked:
        if begins:
            calls.begin_batch()
        requests.append(calls.take(ToolRequest(identifier, "x", "{}"), NOW, caller_speaks=False)[0])

    given_answers = []
    for request in random.sample(requests, len(requests)):
        _, ready = calls.finish(request, str(request.key))
        given_answers += [(one.id, one.key) for one, content in ready if content == str(one.key)]

    assert sorted(key for _, key in given_answers) == [request.key for request in requests]
    for identifier in ("", "call_0", "call_1"):
        keys = [key for one, key in given_answers if one == identifier]
        assert keys == sorted(keys)


def test_what_works_for_a_lost_session_goes_on_and_what_was_not_begun_is_forgotten():
    calls = ToolCalls({"book"})
    at_work, _ = calls.take(ToolRequest("1", "look_up", "{}"), NOW, caller_speaks=False)
    held, _ = calls.take(ToolRequest("2", "book", "{}"), NOW, caller_speaks=True)

    assert calls.lose_session() == []
    assert calls.is_working
    assert calls.cancel("1") == []  # the new session's "1" would be another one
    assert calls.finish(held, "x") == (Fate.UNWANTED, [])
    assert calls.finish(at_work, "found") == (Fate.ORPHANED, [])
    assert not calls.is_busy


def test_entries_of_a_later_stream_come_after_those_of_an_earlier_one():
    first, second = Record(stream_number=1, history=[]), Record(stream_number=2, history=[])

    said = [first.message(Transcript("user", str(number))).sequence for number in range(3)]

    assert said == [SEQUENCES_PER_STREAM + number for number in (1, 2, 3)]
    assert second.message(Transcript("user", "x")).sequence > said[-1]


def test_words_put_into_the_callers_mouth_are_known_again_once():
    record = Record(stream_number=1, history=[])
    record.injected(" Are you open?", NOW)

    assert record.is_echo("Are you open?", NOW + 1)
    assert not record.is_echo("Are you open?", NOW + 1)


def test_words_that_nobody_repeated_are_the_callers_own_when_they_come_again():
    record = Record(stream_number=1, history=[])
    record.injected("Yes.", NOW)
    assert not record.is_echo("Yes.", NOW + ECHO_S + 0.1)

    record.injected("Yes.", NOW + 10)
    record.forget_injected()
    assert not record.is_echo("Yes.", NOW + 10)


def test_a_flood_of_unknown_messages_is_noted_in_a_few_entries():
    record = Record(stream_number=1, history=[])

    noted = [entry for number in range(1000) for entry in record.unknown(f"type {number}")]

    assert len(noted) == MOST_UNKNOWN + 1
    assert len(record.counts) == MOST_UNKNOWN + 1
    assert sum(record.counts.values()) == 1000


def test_the_sentence_that_was_interrupted_is_told_from_those_before_and_behind_it():
    heard = Heard()
    for sequence, text in [(1, "a" * 10), (2, "b" * 10), (3, "c" * 20)]:
        heard.said(sequence, text)
    heard.audio_began(NOW)

    assert heard.interrupted(NOW + 6, NOW + 16) == [(2, 0.5), (3, 0.0)]
    assert heard.interrupted(NOW + 7, NOW + 16) == []


@given(st.lists(st.text(max_size=20), max_size=6), st.floats(0, 10), st.floats(0, 10))
def test_what_was_heard_is_a_beginning(texts, played, total):
    heard = Heard()
    for sequence, text in enumerate(texts):
        heard.said(sequence, text)
    heard.audio_began(NOW)

    shares = dict(heard.interrupted(NOW + played, NOW + total))

    parts = [shares.get(sequence, 1.0) for sequence in range(len(texts))]
    assert parts == sorted(parts, reverse=True)
    assert len([part for part in parts if 0 < part < 1]) <= 1


@given(st.text(max_size=60), st.floats(0, 1))
def test_a_text_is_cut_between_words_and_nothing_of_it_is_lost(text, share):
    heard, unheard = split_heard(text, share)

    assert (heard + unheard).replace(" ", "") == text.replace(" ", "")
    assert len(heard) <= round(len(text) * share)


def test_latency_waits_for_the_message_it_belongs_to():
    record = Record(stream_number=1, history=[])
    record.caller_ended(NOW)
    record.agent_began(NOW + 0.3)
    assert record.latency() == []

    answer = record.message(Transcript("assistant", "Yes."))

    assert [(one.sequence, one.values_ms) for one in record.latency()] == [(answer.sequence, {"total": 300})]
    assert record.latency() == []
