"""Whatever text reaches TwiML, it parses, and says the text."""

from __future__ import annotations

from collections.abc import Callable
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.text import to_valid
from telephony.models import Line
from telephony.twilio import twiml
from telephony.twilio.twiml import Speech

any_text = st.text(st.characters(), max_size=60)  # half surrogates and control characters included

BUILDERS: dict[str, Callable[[str], str]] = {
    "connect": lambda text: twiml.connect_stream(
        stream_url=text, parameters={text: text}, continue_url=text, before=Speech(text, text, text)
    ),
    "hang up": lambda text: twiml.say_and_hang_up(Speech(text, text, text)),
    "wait": lambda text: twiml.wait_and_ask_again(url=text, seconds=1),
    "dial": lambda text: twiml.dial(
        number=text, caller_id=text, timeout_s=20, action_url=text, before=Speech(text, text, text), briefing_url=text
    ),
    "key": lambda text: twiml.ask_for_key(Speech(text, text, text), action_url=text, timeout_s=10),
    "message": lambda text: twiml.take_message(
        before=Speech(text, text, text), max_s=60, action_url=text, recording_status_url=text
    ),
}
SPEAKS = [name for name in BUILDERS if name != "wait"]


def spoken(document: str) -> str:
    return " ".join("".join(verb.itertext()) for verb in ElementTree.fromstring(document).iter("Say"))


@pytest.mark.parametrize("name", BUILDERS)
@given(text=any_text)
def test_any_text_makes_well_formed_twiml(name, text):
    assert ElementTree.fromstring(BUILDERS[name](text)).tag == "Response"


@pytest.mark.parametrize("name", SPEAKS)
@given(text=any_text)
def test_the_caller_hears_the_text(name, text):
    # A parser reads a carriage return as a line feed, and nobody hears the difference.
    assert spoken(BUILDERS[name](text)).split() == to_valid(text).split()


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("We are\u000bclosed\u001f now", "We are closed  now"),
        ("wants a\u000b refund \u0001", "wants a  refund "),
        ("Caller is upset \ud83d about a bill", "Caller is upset \ufffd about a bill"),
        ("\ud83d\ude00 5 < 6 & 7", "\U0001f600 5 < 6 & 7"),
    ],
)
def test_what_xml_has_not_is_left_out(text, heard):
    assert spoken(twiml.say_and_hang_up(Speech(text, "Polly.Joanna", "en"))) == heard


def test_nothing_is_said_where_nothing_is_left():
    assert "Say" not in twiml.say_and_hang_up(Speech("\x01\x02", "Polly.Joanna", "en"))


def test_a_lines_texts_are_valid_when_they_are_stored(line):
    line.closed_text = "Closed\u000btoday \ud83d"
    line.variables = {"offer": "ten\u0001 percent"}
    line.save()

    stored = Line.objects.get(pk=line.pk)
    assert (stored.closed_text, stored.variables) == ("Closed today \ufffd", {"offer": "ten percent"})
