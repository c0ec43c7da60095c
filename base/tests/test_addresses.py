import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.addresses import comparable


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("kontakt@bücher-idn.example", "kontakt@xn--bcher-idn-q9a.example"),
        ("Kontakt@BÜCHER-idn.example", "kontakt@bücher-idn.example"),
        ("a@xn--BCHER-IDN-q9a.example.", "a@bücher-idn.example"),
        ("a@bu\u0308cher-idn.example", "a@bücher-idn.example"),
        ("a@例え。テスト", "a@xn--r8jz45g.xn--zckzah"),
        (" Ann@Example.com ", "ann@example.com"),
    ],
)
def test_two_spellings_of_one_mailbox_are_one(one, other):
    assert comparable(one) == comparable(other)


@pytest.mark.parametrize(("one", "other"), [("a@straße.example", "a@strasse.example"), ("a@x.example", "b@x.example")])
def test_two_mailboxes_stay_two(one, other):
    assert comparable(one) != comparable(other)


@given(st.text())
def test_any_text_can_be_compared_and_comparing_twice_changes_nothing(text):
    once = comparable(text)

    assert comparable(once) == once
