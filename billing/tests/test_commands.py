"""Rates, plans and proofs from the command line."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command

from billing.models import Plan, Rate, Tally
from billing.services.ledger import record_usage
from billing.tests.conftest import usage


def test_a_rate_is_entered(db, capsys):
    call_command("set_rate", "twilio", "voice-inbound", "minute", "0.0085", "--from", "2026-01-01T00:00:00+00:00")
    call_command("set_rate", "openai", "m:input", "token", "0.4", "--per", "1000000", "--currency", "EUR")

    assert Rate.objects.get(provider="twilio").price == Decimal("0.0085")
    assert (Rate.objects.get(provider="openai").per, Rate.objects.get(provider="openai").currency) == (1_000_000, "EUR")
    assert "0.0085 USD for every 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["twilio", "x", "minute", "cheap"], "not a price"),
        (["twilio", "x", "minute", "1", "--from", "2026-01-01"], "offset"),
        (["twilio", "x", "fortnight", "1"], "invalid choice"),
    ],
)
def test_what_makes_no_sense_is_said(db, arguments, words):
    with pytest.raises(CommandError, match=words):
        call_command("set_rate", *arguments)
    assert not Rate.objects.exists()


def test_a_plan_is_added_with_its_prices(providers, db):
    call_command("add_plan", "Shop", "29.00", "--meter", "twilio:voice-inbound:minute:call_minutes:200:0.15")

    plan = Plan.objects.get()
    assert plan.price_id and plan.meters.get().price_id
    with pytest.raises(CommandError, match="already"):
        call_command("add_plan", "Shop", "29.00")
    with pytest.raises(CommandError, match="not written"):
        call_command("add_plan", "Other", "29.00", "--meter", "nonsense")
    assert Plan.objects.count() == 1


def test_a_plan_without_stripe_is_not_half_made(db):
    with pytest.raises(CommandError, match="Stripe"):
        call_command("add_plan", "Shop", "29.00")
    assert not Plan.objects.exists()


def test_the_ledger_is_proved(alice, rate, capsys):
    rate()
    record_usage(tenant=alice, usages=[usage()])
    call_command("check_ledger")
    assert "Every sum is the ledger's." in capsys.readouterr().out

    Tally.objects.update(entries=7)
    with pytest.raises(CommandError, match="1 sums"):
        call_command("check_ledger")


def test_events_are_fetched_again(providers, db, capsys):
    providers.bank.own.tell("charge.refunded", {"id": "ch_1", "object": "charge"})

    call_command("replay_stripe_events")
    call_command("replay_stripe_events", "--hours", "1")

    out = capsys.readouterr().out
    assert "1 event had not arrived." in out and "0 events had not arrived." in out


def test_without_stripe_there_is_nothing_to_fetch(db):
    with pytest.raises(CommandError, match="configured"):
        call_command("replay_stripe_events")
