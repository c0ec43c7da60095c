"""The caller's last seconds, by frames."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from telephony.hearing import BEFORE_TURN_FRAMES, KEPT_FRAMES, Hearing


def frame(number: int) -> bytes:
    return number.to_bytes(2, "big")


def heard(frames: int) -> Hearing:
    hearing = Hearing()
    for number in range(frames):
        hearing.add(frame(number))
    return hearing


def speak(hearing: Hearing, frames: int) -> None:
    for _ in range(frames):
        hearing.add(frame(hearing.frames))


def numbers(hearing: Hearing) -> list[int]:
    return [int.from_bytes(one, "big") for one in hearing.unheard()]


def test_the_first_session_is_given_everything_that_is_kept():
    assert numbers(heard(3)) == [0, 1, 2]
    assert numbers(heard(KEPT_FRAMES + 5)) == list(range(5, KEPT_FRAMES + 5))


def test_a_quiet_caller_costs_a_second():
    hearing = heard(200)
    hearing.unheard()  # a session begins to listen
    speak(hearing, 100)
    hearing.session_lost()
    speak(hearing, 2)

    assert numbers(hearing) == list(range(300 - BEFORE_TURN_FRAMES, 302))


def test_once_words_have_come_only_what_follows_them_is_kept():
    hearing = heard(10)
    hearing.turn_began()
    speak(hearing, 200)
    hearing.words_came()
    speak(hearing, 3)

    assert numbers(hearing) == [210, 211, 212]


def test_an_open_turn_survives_two_losses_in_a_row():
    hearing = heard(100)
    hearing.turn_began()
    speak(hearing, 100)
    hearing.session_lost()
    first = numbers(hearing)
    speak(hearing, 100)  # the second session has heard all of it, and is lost as well
    hearing.session_lost()

    assert first[0] == numbers(hearing)[0] == 100 - BEFORE_TURN_FRAMES
    assert numbers(hearing)[-1] == 299


def test_a_cough_of_long_ago_is_no_open_turn():
    hearing = heard(10)
    hearing.turn_began()
    speak(hearing, KEPT_FRAMES)
    hearing.turn_began()
    began = hearing.frames
    speak(hearing, 20)
    hearing.session_lost()

    assert numbers(hearing)[0] == began - BEFORE_TURN_FRAMES


@given(st.lists(st.tuples(st.sampled_from(["speak", "began", "words", "lost"]), st.integers(0, 300)), max_size=30))
def test_nothing_that_has_words_is_heard_again_and_nothing_of_an_open_turn_is_missing(steps):
    hearing, words_at, turn_at = Hearing(), 0, None
    for step, amount in steps:
        match step:
            case "speak":
                speak(hearing, amount)
            case "began":
                hearing.turn_began()
                turn_at = hearing.frames if turn_at is None else turn_at
            case "words":
                hearing.words_came()
                words_at, turn_at = hearing.frames, None
            case "lost":
                hearing.session_lost()
                found = numbers(hearing)
                assert found == list(range(hearing.frames - len(found), hearing.frames))
                assert not found or found[0] >= words_at
                if turn_at is not None and turn_at > hearing.frames - KEPT_FRAMES:
                    assert len(found) >= hearing.frames - turn_at
