from __future__ import annotations

import json
from pathlib import Path

import pytest

from agents.collaboration.phrases import contains, yes_or_no

DEFAULTS = json.loads((Path(__file__).parents[2] / "organisation" / "data" / "defaults.json").read_text())


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Yes.", "yes"),
        ("yes, go ahead", "yes"),
        ("Yeah, sure!", "yes"),
        ("That's fine.", "yes"),
        ("Okay", "yes"),
        ("Ja, gerne.", "yes"),
        ("Oui, d'accord", "yes"),
        ("Sí, claro", "yes"),
        ("Certo, va bene", "yes"),
        ("No.", "no"),
        ("no, thank you", "no"),
        ("Rather not", "no"),
        ("please don't", "no"),
        ("I'm not sure", "no"),
        ("Nein danke", "no"),
        ("Non merci", "no"),
        ("No gracias", "no"),
        ("What?", "unclear"),
        ("How long is that?", "unclear"),
        ("yes and no", "unclear"),
        ("", "unclear"),
        ("yes I would like that but first tell me what it costs me", "unclear"),
    ],
)
def test_answers_by_the_phrases_that_come_along(text, answer):
    assert yes_or_no(text, yes=DEFAULTS["yes_phrases"], no=DEFAULTS["no_phrases"]) == answer


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("I would like to talk to an expert agent", True),
        ("Could I speak to a specialist, please?", True),
        ("Can someone who knows about boilers help me", True),
        ("Ich möchte mit einem Experten sprechen", True),
        ("Haben Sie jemanden, der sich auskennt?", True),
        ("Je voudrais parler à un spécialiste", True),
        ("Quiero hablar con un experto", True),
        ("Vorrei parlare con uno specialista", True),
        ("I am an expert myself", False),
        ("The experts agree", False),
        ("", False),
    ],
)
def test_wishes_by_the_phrases_that_come_along(text, asks):
    assert contains(text, DEFAULTS["ask_phrases"]) is asks


def test_whole_words_only():
    assert not contains("yesterday", ["yes"])
    assert not contains("anything", ["", " "])
