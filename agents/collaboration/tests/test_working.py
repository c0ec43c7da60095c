"""The specialists at work, against stand-in models."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from asgiref.sync import async_to_sync
from django.utils import timezone

from agents import selectors
from agents.collaboration.enums import Outcome, Stage, Trigger
from agents.collaboration.models import Collaboration
from agents.collaboration.services import auditing
from agents.collaboration.working import Specialists
from agents.knowledge.tests.factories import make_document
from agents.llm.base import LlmError
from agents.services import owned
from agents.tools import ToolContext
from sandbox.deepgram.brain import Thought, ToolUse
from sandbox.models.account import Fault, Kind
from tenants.context import entered

pytestmark = pytest.mark.usefixtures("in_alice", "one_connection")
SAID = [("user", "I run a shop."), ("assistant", "How can I help?")]


def specialists(tenant, own_slug="receptionist"):
    briefs = selectors.available_briefs(tenant, include_telephony_only=True)
    return Specialists(tenant, briefs, own_slug=own_slug, context=ToolContext("c1", tenant.schema_name, "", ""))


def work(tenant, question="When is sales tax due?", most=3, limit_s=20.0):
    return async_to_sync(specialists(tenant).work)(question, SAID, most=most, limit_s=limit_s)


def choose(*slugs):
    return Thought(tool=ToolUse("choose_agents", {"agents": list(slugs)}))


def test_one_answers_and_knows_what_was_said(in_alice, models):
    models.script += [choose("tax-questions"), Thought("On the tenth.")]
    done = work(in_alice)
    assert done.answer == "On the tenth."
    (one,) = done.contributions
    assert (one.brief.slug, one.problem) == ("tax-questions", "")
    asked = models.asked[-1]
    assert "user: I run a shop." in asked.system
    assert "questions of tax" in asked.system
    assert [turn.text for turn in asked.said] == ["When is sales tax due?"]
    assert done.usage.output_tokens > 0
    assert "receptionist" not in models.asked[0].system.split("The agents:")[1]  # is on the line already


def test_several_answer_apart_from_each_other_and_one_answer_is_made(in_alice, models):
    models.script += [choose("tax-questions", "bookkeeping"), Thought("A."), Thought("B."), Thought("A and B.")]
    done = work(in_alice)
    assert done.answer == "A and B."
    assert {one.text for one in done.contributions} == {"A.", "B."}
    first, second = [asked for asked in models.asked if asked.system.startswith(("You help", "You answer"))]
    for asked in (first, second):
        assert len(asked.said) == 1
    synthesis = models.asked[-1]
    assert synthesis.system.startswith("Several specialists")
    assert "When is sales tax due?" in synthesis.said[0].text


def test_one_that_fails_does_not_take_the_others_along(in_alice, models):
    models.script += [choose("tax-questions", "bookkeeping"), Thought("")] + [Thought("B.")]
    done = work(in_alice)
    assert done.answer == "B."
    assert sorted(one.problem for one in done.contributions) == ["", "said nothing"]


def test_when_no_one_answer_can_be_made_the_best_ones_word_counts(in_alice, models):
    models.script += [choose("tax-questions", "bookkeeping"), Thought("A."), Thought("B."), Thought("")]
    assert work(in_alice).answer in ("A.", "B.")


def test_nobody_suits(in_alice, models):
    models.script.append(choose())
    done = work(in_alice)
    assert (done.answer, done.contributions) == ("", [])


def test_all_models_fail(in_alice, models):
    models.faults.append(Fault(Kind.STATUS, times=99, status=401))
    done = work(in_alice)
    assert done.answer == ""
    assert {one.problem for one in done.contributions} == {"refused-key"}
    assert done.usage is None


def test_time_is_over(in_alice, models):
    models.faults.append(Fault(Kind.HANG, times=99))
    done = work(in_alice, limit_s=0.3)
    assert done.answer == ""
    assert done.duration_ms < 3000


def test_a_specialist_looks_things_up_in_ones_own_documents_alone(in_alice, bob, models):
    make_document("Prices", "# Wool\nA wash of wool costs nine.")
    with entered(bob):
        make_document("Secret", "# Wool\nBob buys wool for two.")
    lookup = Thought(tool=ToolUse("search_knowledge", {"question": "what does wool cost"}))
    models.script += [choose("product-advice"), lookup, Thought("Nine.")]
    assert work(in_alice).answer == "Nine."
    told = models.asked[-1].said[-1].text
    assert "costs nine" in told
    assert "for two" not in told


def test_another_organisations_agents_are_not_asked(in_alice, bob, stranger, models):
    with entered(bob):
        values = {"name": "Bob's tax man", "specialty": "Sales tax", "prompt": "Secret."}
        bobs = owned.create_agent(tenant=bob, values=values, by=stranger, is_published=True)
    models.script.append(choose())
    work(in_alice)
    assert bobs.slug not in models.asked[0].system


def test_rating_and_judging(in_alice, models):
    found = specialists(in_alice)
    assert found.can_rate
    assert found.can_work
    models.script.append(Thought(tool=ToolUse("rate_request", {"complexity": 0.8, "asks_for_specialist": True})))
    assert async_to_sync(found.rate)("Hard") == (0.8, True)
    models.script.append(Thought(tool=ToolUse("note_answer", {"answer": "yes"})))
    assert async_to_sync(found.judge)("Knock yourself out") == "yes"
    models.faults.append(Fault(Kind.STATUS, times=9, status=401))
    assert async_to_sync(found.judge)("Hm") == "unclear"
    with pytest.raises(LlmError):
        async_to_sync(found.rate)("Hard")


def test_without_a_model_nobody_is_offered(in_alice):
    found = specialists(in_alice)
    assert not found.can_rate
    assert not found.can_work


# --- the record ------------------------------------------------------------------------------------------------------


def begin(**values):
    collaboration_id = uuid4()
    given = {"call_id": str(uuid4()), "trigger": Trigger.CALLER, "question": "Q", "complexity": None, **values}
    auditing.record_begin(collaboration_id=collaboration_id, **given)
    return Collaboration.objects.get(pk=collaboration_id)


def test_a_record_is_written_as_it_goes(in_alice, models, bob):
    row, now = begin(), timezone.now()
    auditing.record_begin(
        collaboration_id=row.pk, call_id=str(row.call_id), trigger=Trigger.AGENT, question="X", complexity=1
    )
    for stage, consent in ((Stage.AWAITING_CONSENT, ""), (Stage.COLLABORATING, "Yes please."), (Stage.RESUMING, "")):
        auditing.record_stage(collaboration_id=row.pk, stage=stage, consent=consent, at=now)
    models.script += [choose("tax-questions"), Thought("On the tenth.")]
    auditing.record_work(collaboration_id=row.pk, work=work(in_alice))
    auditing.record_end(collaboration_id=row.pk, outcome=Outcome.ANSWERED, at=now)
    auditing.record_end(collaboration_id=row.pk, outcome=Outcome.HUNG_UP, at=now)
    auditing.record_stage(collaboration_id=row.pk, stage=Stage.COLLABORATING, consent="late", at=now)
    row.refresh_from_db()
    assert (row.trigger, row.question) == (Trigger.CALLER, "Q")
    assert (row.outcome, row.stage, row.consent_words, row.answer) == (
        "answered",
        "completed",
        "Yes please.",
        "On the tenth.",
    )
    assert (row.asked_at, row.consented_at, row.ended_at) == (now, now, now)
    assert row.agents[0]["slug"] == "tax-questions"
    with entered(bob):
        assert not Collaboration.objects.exists()


def test_what_a_dead_worker_left_open_is_closed(in_alice):
    old, new = begin(), begin()
    Collaboration.objects.filter(pk=old.pk).update(started_at=timezone.now() - timedelta(minutes=11))
    assert auditing.close_abandoned() == 1
    old.refresh_from_db()
    new.refresh_from_db()
    assert (old.outcome, new.outcome) == (Outcome.INTERRUPTED, "")
