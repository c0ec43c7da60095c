from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.texting.enums import Keyword
from telephony.texting.keywords import keyword_in
from telephony.texting.services.setup import texting_defaults

DEFAULTS = texting_defaults()
WORDS = {Keyword(name): DEFAULTS[f"{name}_words"] for name in ("stop", "start", "help")}
NOISE = st.text(alphabet=" \t\n\r\u00a0\u200b\ufeff.,!?…\"'“”-", max_size=6)


@given(st.sampled_from(WORDS[Keyword.STOP]), NOISE, NOISE, st.data())
def test_a_stop_word_is_understood_in_any_case_and_with_anything_around_it(word, before, after, data):
    mixed = "".join(data.draw(st.sampled_from([letter.lower(), letter.upper()])) for letter in word)
    assert keyword_in(before + mixed + after, WORDS) is Keyword.STOP


@pytest.mark.parametrize("text", ["Stop.", " STOP ALL ", "ＳＴＯＰ", "stop!!!", "“Stop”", "st\u200bop", "Opt-out"])
def test_ways_people_write_it(text):
    assert keyword_in(text, WORDS) is Keyword.STOP


@pytest.mark.parametrize(
    "text", ["stop by at five", "please do not stop", "Can I cancel my order?", "the end", "helpful", "", "…", "12", "🛑"]
)
def test_sentences_are_sentences(text):
    assert keyword_in(text, WORDS) is None


@pytest.mark.parametrize(
    ("text", "keyword"), [("start", "start"), ("Unstop ", "start"), ("yes", "start"), ("Help?", "help")]
)
def test_the_other_words(text, keyword):
    assert keyword_in(text, WORDS) == keyword


def test_a_word_in_two_lists_means_stop():
    assert keyword_in("ende", {Keyword.HELP: ["Ende"], Keyword.START: ["ENDE"], Keyword.STOP: ["ende"]}) is Keyword.STOP


def test_an_empty_word_in_a_list_means_nothing():
    assert keyword_in("?", {Keyword.STOP: ["", " ", "?"]}) is None


@given(st.text(max_size=200))
def test_any_text_is_read(text):
    assert keyword_in(text, WORDS) in (None, *Keyword)
