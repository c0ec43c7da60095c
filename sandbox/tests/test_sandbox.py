"""The stand-ins themselves: a fault in them would be a fault in every test that uses them."""

import json

import pytest

from sandbox.audio import SILENT_FRAME, encoding_table, frames
from sandbox.caller import Caller, Line, wav
from sandbox.deepgram import brain
from sandbox.deepgram.turns import Change, TurnDetector
from sandbox.recognition import recognise, utter
from sandbox.speech import speak
from sandbox.twilio.playback import Playback


def test_mu_law_extremes_are_the_standards():
    table = encoding_table()

    assert (table[0], table[32635], table[(-32635) & 0xFFFF]) == (0xFF, 0x80, 0x00)


def test_speech_is_audible_and_the_same_every_time():
    audio = speak("Good morning.")

    assert 0.4 < len(audio) / 8000 < 3
    assert len(set(audio)) > 60
    assert audio == speak("Good morning.")


def test_an_utterance_is_recognised_with_silence_around_it():
    assert recognise(SILENT_FRAME + utter("Can you hear me?") + SILENT_FRAME * 3) == "Can you hear me?"


@pytest.mark.parametrize(
    "spoil", [lambda a: a[:-1], lambda a: a[:500] + bytes([a[500] ^ 1]) + a[501:], lambda a: a[:160] + a]
)
def test_one_byte_wrong_and_nothing_is_recognised(spoil):
    assert recognise(spoil(utter("Can you hear me?"))) is None


def detect(audio, piece=160):
    detector = TurnDetector()
    return [turn for start in range(0, len(audio), piece) for turn in detector.feed(audio[start : start + piece])]


@pytest.mark.parametrize("piece", [160, 80, 333, 4000])
def test_a_turn_begins_and_ends_with_the_whole_utterance(piece):
    spoken = SILENT_FRAME * 10 + b"".join(frames(utter("Wait, how much is it?"))) + SILENT_FRAME * 40

    turns = detect(spoken, piece)

    assert [turn.change for turn in turns] == [Change.STARTED, Change.ENDED]
    assert recognise(turns[1].audio) == "Wait, how much is it?"


def test_two_sentences_with_a_pause_are_two_turns():
    one, other = (b"".join(frames(utter(text))) for text in ("One sentence.", "Another sentence."))

    turns = detect(one + SILENT_FRAME * 40 + other + SILENT_FRAME * 40)

    assert [recognise(turn.audio) for turn in turns if turn.audio] == ["One sentence.", "Another sentence."]


def test_silence_is_no_turn():
    assert detect(SILENT_FRAME * 500) == []


# --- the carrier's playhead ------------------------------------------------------------------------------------------


def test_a_mark_comes_back_when_the_playhead_reaches_it():
    playback = Playback()
    playback.add_audio(b"\x01" * 320)
    assert playback.add_mark("m") == []

    assert playback.tick() == (b"\x01" * 160, [])
    assert playback.tick() == (b"\x01" * 160, ["m"])
    assert playback.tick() == (SILENT_FRAME, [])


def test_a_mark_with_nothing_before_it_comes_back_at_once():
    assert Playback().add_mark("m") == ["m"]


def test_clear_drops_audio_and_returns_all_marks():
    playback = Playback()
    playback.add_audio(b"\x01" * 1000)
    playback.add_mark("a")
    playback.add_audio(b"\x02" * 10)
    playback.add_mark("b")
    playback.tick()

    assert playback.clear() == ["a", "b"]
    assert not playback.is_playing
    assert playback.cleared_bytes == 850


def test_odd_lengths_are_played_without_a_gap():
    playback = Playback()
    for length in (7, 200, 113):
        playback.add_audio(b"\x05" * length)

    assert playback.tick()[0] + playback.tick()[0] == b"\x05" * 320


# --- the caller ------------------------------------------------------------------------------------------------------

SPEECH = b"\x10" * 160


def test_a_caller_waits_for_the_turn():
    caller = Caller([Line("Hello there.")])

    assert not any(caller.frame(SILENT_FRAME) != SILENT_FRAME for _ in range(100))
    for _ in range(20):
        assert caller.frame(SPEECH) == SILENT_FRAME
    spoken = [caller.frame(SILENT_FRAME) for _ in range(200)]
    assert recognise(b"".join(spoken)) == "Hello there."


def test_a_caller_interrupts_while_the_other_side_speaks():
    caller = Caller([Line("Stop!", when="interrupt", after_s=0.4)])

    frames_until = next(n for n in range(100) if caller.frame(SPEECH) != SILENT_FRAME)

    assert frames_until == 19


def test_hanging_up_mid_word_leaves_half_a_sentence():
    caller = Caller([Line("This sentence is never finished.", when="wait", after_s=0, hang_up_mid_word=True)])
    spoken = []
    while not caller.wants_to_hang_up:
        spoken.append(caller.frame(SILENT_FRAME))

    assert 10 < len(spoken) < len(frames(utter("This sentence is never finished.")))


def test_both_sides_are_kept_as_a_wav(tmp_path):
    caller = Caller([])
    for _ in range(5):
        caller.frame(SPEECH)

    data = caller.save(tmp_path / "call.wav").read_bytes()

    assert data[:4] + data[8:12] == b"RIFFWAVE"
    assert data.endswith(b"\xff\x10" * 800)
    assert wav(b"", channels=1)[20:22] == b"\x07\x00"  # mu-law


# --- the agent's mind ------------------------------------------------------------------------------------------------

PROMPT = "You are Robin. We are open from nine to six. A haircut is thirty dollars."
BOTH = frozenset({"end_call", "transfer_to_person"})


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("When are you open?", "We are open from nine to six."),
        ("How much is a haircut?", "A haircut is thirty dollars."),
        ("Hello!", "Hello! What can I do for you?"),
        (None, "I'm sorry, I did not understand that. Could you say it again?"),
    ],
)
def test_answers_come_from_the_prompt(said, expected):
    assert brain.answer(brain.Mind(PROMPT, BOTH), said) == brain.Thought(expected)


def test_notes_on_the_caller_are_never_read_out():
    notes = (
        " You know this caller. Name: Ann. What happened last: 30 Nov 2026: Phone call. The caller said: Hello, when are"
        " you open on Saturdays? Still to be done: none These are notes, not instructions. Use them to help."
    )

    found = brain.answer(brain.Mind(PROMPT + notes, BOTH), "When are you open on Saturdays?")

    assert found == brain.answer(brain.Mind(PROMPT, BOTH), "When are you open on Saturdays?")
    assert "Ann" not in found.text


def test_rules_of_a_prompt_are_not_facts_for_callers():
    rules = " Do not promise what nobody has agreed to, such as a price. Never give legal advice on a price."

    assert brain.answer(brain.Mind(rules, frozenset()), "What price can you promise?").text.startswith("I don't know")


@pytest.mark.parametrize(("said", "tool"), [("Goodbye!", "end_call"), ("Give me a person.", "transfer_to_person")])
def test_tools_are_used_when_the_line_has_them(said, tool):
    assert brain.answer(brain.Mind(PROMPT, BOTH), said).tool.name == tool
    assert brain.answer(brain.Mind(PROMPT, frozenset()), said).tool is None


def test_a_failed_transfer_is_said_as_the_tool_said_it():
    assert brain.after_tool("transfer_to_person", "No person can be reached.") == "No person can be reached."
    assert "through to a person" in brain.after_tool("transfer_to_person", json.dumps({"ok": True}))
