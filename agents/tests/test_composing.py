from __future__ import annotations

from agents.composing import compose, names_in


def test_names_are_filled_in_and_what_has_no_value_is_told():
    composed = compose(
        ["Hi {name} of {organisation}.", "", " {price_list} {name} "], {"name": "Ann", "organisation": "A&B"}
    )
    assert composed.text == "Hi Ann of A&B.\n\n{price_list} Ann"
    assert composed.missing == ("price_list",)


def test_other_braces_stay_and_values_are_not_filled_in_again():
    composed = compose(['{"json": {"a": 1}} {Name} {0} {a}'], {"a": "{b}", "b": "no"})
    assert composed.text == '{"json": {"a": 1}} {Name} {0} {b}'
    assert composed.missing == ()


def test_names_in_a_text():
    assert names_in("{a} {b_2} {a} {C} { d }") == ["a", "b_2"]
