"""What the stand-in models answer of themselves, where nothing is scripted: what the demonstration shows."""

from __future__ import annotations

import json

import pytest
from asgiref.sync import async_to_sync

from agents.collaboration.tests.test_working import specialists, work
from sandbox.models.judging import DEPENDS

pytestmark = pytest.mark.usefixtures("in_alice", "one_connection")


@pytest.mark.parametrize(
    ("question", "slug"),
    [
        ("When is sales tax due on tips?", "tax-questions"),
        ("What does this clause of my contract mean?", "contracts-and-law"),
    ],
)
def test_the_one_who_knows_the_field_is_chosen(in_alice, models, question, slug):
    done = work(in_alice, question, most=1)

    assert [one.brief.slug for one in done.contributions] == [slug]


@pytest.mark.parametrize("question", ["Can I book for Saturday at ten?", "How much is a hot towel shave?", "Hm?"])
def test_a_caller_who_agreed_to_a_specialist_gets_an_answer(in_alice, models, question):
    done = work(in_alice, question)

    assert done.answer
    assert all(not one.problem for one in done.contributions)
    assert done.answer.count(DEPENDS) <= 1


def test_how_hard_a_question_is(in_alice, models):
    rate = async_to_sync(specialists(in_alice).rate)

    assert rate("Is there sales tax on tips?") == (0.9, False)
    assert rate("I want to talk to a specialist.") == (0.1, True)
    assert json.dumps(rate("Hello")) == "[0.1, false]"
