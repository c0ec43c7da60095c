"""The parts the conversation's machine asks, each by itself."""

from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from telephony.bridge.floor import Floor, Late
from telephony.bridge.link import RECONNECT_WINDOW_S, RECONNECTS_IN_WINDOW, Link
from telephony.bridge.playback import MARK_GRACE_S, STALE_AUDIO_S, Playback
from telephony.bridge.record import SEQUENCES_PER_STREAM, Record
from telephony.bridge.toolcalls import HELD_TOOL_S, ToolCalls
from telephony.engines.base import ToolRequest, Transcript
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

    assert not calls.start(book, NOW, caller_speaks=True)
    assert calls.start(look, NOW, caller_speaks=True)
    assert calls.held_until() == NOW + HELD_TOOL_S
    assert calls.release() == [book]
    assert calls.held_until() == math.inf
    assert calls.finish("1") and not calls.finish("1")
    assert calls.cancel("2") == (True, True)
    assert not calls.is_busy


def test_entries_of_a_later_stream_come_after_those_of_an_earlier_one():
    first, second = Record(stream_number=1, history=[]), Record(stream_number=2, history=[])

    said = [first.message(Transcript("user", str(number))).sequence for number in range(3)]

    assert said == [SEQUENCES_PER_STREAM + number for number in (1, 2, 3)]
    assert second.message(Transcript("user", "x")).sequence > said[-1]


def test_words_put_into_the_callers_mouth_are_known_again_once():
    record = Record(stream_number=1, history=[])
    record.injected("Are you open?")

    assert record.is_echo("Are you open?")
    assert not record.is_echo("Are you open?")


def test_latency_waits_for_the_message_it_belongs_to():
    record = Record(stream_number=1, history=[])
    record.caller_ended(NOW)
    record.agent_began(NOW + 0.3)
    assert record.latency() == []

    answer = record.message(Transcript("assistant", "Yes."))

    assert [(one.sequence, one.values_ms) for one in record.latency()] == [(answer.sequence, {"total": 300})]
    assert record.latency() == []
