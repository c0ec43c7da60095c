"""Whatever order news comes in, how often and how late: the same state in the end."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.texting.enums import State
from telephony.texting.fates import OF_CARRIER, RANK, Fate, fate_of, latest

fates = st.builds(
    Fate, st.sampled_from([state for state in State if state != State.RECEIVED]), st.none() | st.integers(1, 99999)
)


def settle(told):
    stands = Fate(State.SENDING)
    for fate in told:
        stands = latest(stands, fate)
    return stands


def test_every_state_has_a_rank_of_its_own():
    assert set(RANK) == set(State) and len(set(RANK.values())) == len(RANK)


@pytest.mark.parametrize(
    ("words", "state"),
    [
        (("queued", "sending", "sent", "delivered"), State.DELIVERED),
        (("accepted", "sent", "undelivered"), State.UNDELIVERED),
        (("queued", "failed"), State.FAILED),
        (("sent", "delivered", "read"), State.DELIVERED),
    ],
)
def test_any_order_of_a_real_life_ends_the_same(words, state):
    for order in permutations(words):
        assert settle(fate_of(word) for word in order).state == state


@given(st.lists(fates, max_size=8), st.randoms(use_true_random=False))
def test_order_and_repetition_never_matter(told, random):
    mixed = [*told, *(random.choices(told, k=3) if told else [])]
    random.shuffle(mixed)
    assert settle(mixed) == settle(told)


@given(st.lists(fates, min_size=1, max_size=8))
def test_news_never_leads_backwards(told):
    stands = Fate(State.SENDING)
    for fate in told:
        after = latest(stands, fate)
        assert RANK[after.state] >= RANK[stands.state]
        stands = after


@given(st.text(), st.text())
def test_any_words_are_read_or_ignored(word, code):
    fate = fate_of(word, code)
    assert (fate is None) == (word not in OF_CARRIER)


def test_a_code_belongs_to_what_failed_only():
    assert fate_of("failed", "30003") == Fate(State.FAILED, 30003)
    assert fate_of("delivered", "30003") == Fate(State.DELIVERED)
    assert fate_of("undelivered", "٣٠") == fate_of("undelivered", "-5") == fate_of("undelivered", "9" * 40)
    assert fate_of("received") is None
