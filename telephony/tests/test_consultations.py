"""What specialists who joined a call have cost: told from the rest of the call, to whom it may be told."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.urls import reverse

from agents.collaboration.enums import Outcome, Stage, Trigger
from agents.collaboration.models import Collaboration
from agents.llm.asking import complete_now
from agents.llm.base import ModelRequest, Turn
from agents.llm.metering import as_part, charged_to
from billing.models import LedgerEntry, Rate
from billing.services.ledger import correct, price_unknown
from sandbox.deepgram.brain import Thought
from telephony.services.purposes import purpose_of
from telephony.tests.factories import make_finished_call
from tenants.context import entered

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
REQUEST = ModelRequest(model="sandbox-small", system="Be kind.", turns=(Turn("user", "How much tax is it?"),))


@pytest.fixture
def priced(db):
    for item, price in (("input", "1"), ("output", "4")):
        Rate.objects.create(
            provider="openai",
            item=f"sandbox-small:{item}",
            unit="token",
            price=Decimal(price),
            per=1000,
            currency="USD",
            valid_from=LONG_AGO,
        )


def consulted(models):
    """Return a call, in which one token was used without specialists and more with them."""
    call = make_finished_call()
    joined = Collaboration.objects.create(
        call_id=call.pk,
        trigger=Trigger.CALLER,
        question="How much tax?",
        stage=Stage.COMPLETED,
        outcome=Outcome.ANSWERED,
        agents=[{"slug": "tax", "name": "Tax", "version": 1, "ms": 900, "problem": ""}],
    )
    models.script += [Thought("Twelve."), Thought("A summary.")]
    with charged_to(purpose_of(call)):
        with as_part(joined.pk.hex):
            complete_now("openai", REQUEST)
        complete_now("openai", REQUEST)
    return call, joined


def told(visit, user, call, host="alice.test"):
    return visit(user, host=host).get(f"/api/v1/calls/{call.pk}/collaborations/")


def test_their_cost_is_a_part_of_the_calls(in_alice, owner, visit, models, priced):
    call, joined = consulted(models)

    (one,) = told(visit, owner, call).json()

    entries = LedgerEntry.objects.filter(subject=str(call.pk))
    theirs = [entry.amount for entry in entries if joined.pk.hex in entry.key]
    assert (len(theirs), len(entries)) == (2, 4)
    assert (Decimal(one["cost"]), one["currency"]) == (sum(theirs), "USD")
    page = visit(owner).get(reverse("telephony:call-detail", args=[call.pk])).content.decode()
    assert "Their cost" in page


def test_a_correction_of_the_ledger_is_seen(in_alice, owner, visit, models, priced):
    call, joined = consulted(models)
    before = Decimal(told(visit, owner, call).json()[0]["cost"])
    entry = LedgerEntry.objects.get(key__contains=joined.pk.hex, item="sandbox-small:output")

    correct(entry=entry, key="counted wrongly", quantity=Decimal(1000), amount=Decimal(4))

    assert Decimal(told(visit, owner, call).json()[0]["cost"]) == before + 4


def test_without_rates_it_is_unknown_and_not_nothing(in_alice, owner, visit, models):
    call, _ = consulted(models)

    (one,) = told(visit, owner, call).json()

    assert (one["cost"], one["currency"]) == (None, "")
    page = visit(owner).get(reverse("telephony:call-detail", args=[call.pk])).content.decode()
    assert '<dt>Their cost</dt><dd><span class="unknown">unknown</span>' in page


def test_a_rate_that_is_entered_later_prices_them(in_alice, owner, visit, models):
    call, joined = consulted(models)
    for item in ("sandbox-small:input", "sandbox-small:output"):
        Rate.objects.create(
            provider="openai", item=item, unit="token", price=Decimal(1), currency="USD", valid_from=LONG_AGO
        )
        price_unknown(provider="openai", item=item)

    tokens = LedgerEntry.objects.filter(key__contains=joined.pk.hex).values_list("quantity", flat=True)
    assert Decimal(told(visit, owner, call).json()[0]["cost"]) == sum(tokens)


def test_members_and_strangers_are_not_told(in_alice, bob, member, stranger, visit, models, priced):
    call, _ = consulted(models)

    (one,) = told(visit, member, call).json()

    assert one["cost"] is None and one["question"] == "How much tax?"
    assert "Their cost" not in visit(member).get(reverse("telephony:call-detail", args=[call.pk])).content.decode()
    assert told(visit, stranger, call).status_code in (403, 404)
    with entered(bob):
        assert not Collaboration.objects.exists()
    assert told(visit, stranger, call, host="bob.test").status_code == 404
