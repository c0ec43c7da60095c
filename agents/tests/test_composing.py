from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.composing import compose, names_in


def test_names_are_filled_in_and_what_has_no_value_is_told_and_left_out():
    composed = compose(
        ["Hi {name} of {organisation}.", "", " {price_list} {name} "], {"name": "Ann", "organisation": "A&B"}
    )
    assert composed.text == "Hi Ann of A&B.\n\nAnn"
    assert composed.missing == ("price_list",)


def test_other_braces_stay_and_values_are_not_filled_in_again():
    composed = compose(['{"json": {"a": 1}} {0} {} {a, b} {a}'], {"a": "{b}", "b": "no"})
    assert composed.text == '{"json": {"a": 1}} {0} {} {a, b} {b}'
    assert composed.missing == ()


def test_two_pairs_of_braces_are_a_name_as_well():
    greeting = "Hello {{organisation}}, am I speaking with {caller_name}?"
    composed = compose([greeting], {"organisation": "Alpha Dental"})
    assert composed.text == "Hello Alpha Dental, am I speaking with?"
    assert composed.missing == ("caller_name",)


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("{{ name }}!", "Ann!"),
        ("{Name}!", "Ann!"),
        ("{{{name}}}!", "Ann!"),
        ('{"who": {name}}', '{"who": Ann}'),
        ("{{name}", "{Ann"),
        ("{nobody}, hello.", "hello."),
        ("Hello {nobody} {nobody_2}, this is {name}.", "Hello, this is Ann."),
        ("Hello {nobody} and {name}.", "Hello and Ann."),
        ("Hello ({nobody}) {name}", "Hello () Ann"),
        ("One\n{nobody}: two", "One\ntwo"),
        ("{контакт.имя} {user-name}", ""),
    ],
)
def test_a_name_is_filled_in_or_leaves_a_closed_gap(text: str, spoken: str):
    assert compose([text], {"name": "Ann"}).text == spoken


def test_names_in_a_text():
    assert names_in("{a} {b_2} {a} {{C}} { d } {1}") == ["a", "b_2", "c", "d"]


@given(st.text("{}ab_ ,.\n\ud83d", max_size=60))
def test_each_name_without_a_value_is_told_and_its_braces_are_gone(text: str):
    composed = compose([text], {"a": "(A)"})
    assert set(composed.missing) == set(names_in(text)) - {"a"}
    assert composed.text.count("{") <= text.count("{") - len(names_in(text))


@given(st.text(max_size=80))
def test_text_without_braces_is_only_stripped(text: str):
    plain = text.replace("{", "(").replace("\0", "")
    assert compose([plain], {}).text == plain.strip()
