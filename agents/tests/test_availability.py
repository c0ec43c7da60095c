from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from agents.availability import available, is_available, is_free, normalise_owner_domains


@dataclass
class Candidate:
    owner_domains: Any
    telephony_only: bool = False


MINE = ["alice.test", "shop.alice.test"]


@pytest.mark.parametrize(
    ("owner_domains", "is_mine"),
    [
        ([], True),
        (None, True),
        ("alice.test", True),
        ("", True),
        (7, True),
        (0, True),
        (1.5, True),
        (True, True),
        ({}, True),
        ({"alice.test": 1}, True),
        (("bob.test",), True),
        ([1, 2], True),
        (["bob.test", None], True),
        ([["bob.test"]], True),
        (["alice.test"], True),
        (["bob.test", "alice.test"], True),
        (["  ALICE.test. "], True),
        (["shop.alice.test"], True),
        (["bob.test"], False),
        (["alice.tes"], False),
        (["xalice.test"], False),
        ([""], False),
        (["  ", ""], False),
    ],
)
def test_the_table(owner_domains, is_mine):
    assert is_available(owner_domains, MINE) is is_mine


@pytest.mark.parametrize("domains", [[], [""], [" "]])
def test_an_organisation_without_a_name_gets_what_is_free_and_no_more(domains):
    assert is_available([], domains)
    assert is_available(None, domains)
    assert not is_available(["bob.test"], domains)
    assert not is_available([""], domains)


def test_names_are_compared_as_names():
    assert normalise_owner_domains([" Bob.TEST", "bob.test", "bob.test."]) == ["bob.test"]
    assert is_free("bob.test")
    assert not is_free(["bob.test"])


def test_those_that_only_telephone_are_left_out_of_chat_unless_asked_for():
    spoken, written, foreign = Candidate([], True), Candidate(["alice.test"]), Candidate(["bob.test"])
    agents = [spoken, foreign, written]
    assert available(agents, MINE) == [written]
    assert available(agents, MINE, include_telephony_only=True) == [spoken, written]
