"""What language models use is in the ledger, by whom it was for."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from agents.llm.asking import complete_now
from agents.llm.base import ModelRequest, Turn, Usage
from agents.llm.embedding import embed_now
from agents.llm.figures import tokens
from agents.llm.metering import Purpose, charged_to, tokens_used, written_at_the_end
from billing.enums import Kind
from billing.models import Drift, LedgerEntry, Rate
from billing.services.reconciling import reconcile_day
from sandbox.deepgram.brain import Thought
from tenants.context import entered

REQUEST = ModelRequest(model="sandbox-small", system="Be kind.", turns=(Turn("user", "Hello there, how are you?"),))


def used(**filters) -> dict[str, tuple]:
    rows = LedgerEntry.objects.filter(**filters)
    return {row.item: (row.quantity, row.kind, row.subject, row.tenant_id) for row in rows}


def test_an_answer_s_tokens_are_charged_to_what_it_was_for(in_alice, models):
    Rate.objects.create(
        provider="openai",
        item="sandbox-small:output",
        unit="token",
        price=Decimal("2"),
        per=1_000_000,
        currency="USD",
        valid_from=datetime(2026, 1, 1, tzinfo=UTC),
    )
    models.script.append(Thought("I am well, thank you for asking."))
    with charged_to(Purpose(Kind.CALL, "call-1")):
        complete_now("openai", REQUEST)

    found = used()
    assert set(found) == {"sandbox-small:input", "sandbox-small:output"}
    assert found["sandbox-small:output"][1:] == (Kind.CALL, "call-1", in_alice.pk)
    output = LedgerEntry.objects.get(item="sandbox-small:output")
    assert output.amount == output.quantity * 2 / 1_000_000
    assert LedgerEntry.objects.get(item="sandbox-small:input").amount is None  # no rate: unknown


def test_each_organisation_pays_for_itself(alice, bob, models):
    for tenant in (alice, bob):
        with entered(tenant):
            complete_now("openai", REQUEST)

    assert {entry.tenant_id for entry in LedgerEntry.objects.all()} == {alice.pk, bob.pk}
    assert {entry.kind for entry in LedgerEntry.objects.all()} == {Kind.OTHER}


def test_outside_of_any_organisation_nobody_is_charged(db, models):
    complete_now("openai", REQUEST)

    assert not LedgerEntry.objects.exists()


def test_a_purpose_may_name_the_organisation_itself(alice, models):
    with charged_to(Purpose(Kind.CALL, "call-1", schema=alice.schema_name, agent_id=7, line_id=3)):
        complete_now("openai", REQUEST)

    entry = LedgerEntry.objects.first()
    assert (entry.tenant_id, entry.agent_id, entry.line_id) == (alice.pk, 7, 3)


def test_tokens_nobody_counted_are_an_entry_without_a_quantity(in_alice):
    _, usages = tokens_used("openai", "local-model", None)

    assert [usage.quantity for usage in usages] == [None, None]
    assert len(tokens_used("openai", "m", Usage(5, 0))[1]) == 1


def test_what_is_gathered_is_written_even_if_the_work_fails(in_alice, models):
    with pytest.raises(RuntimeError), written_at_the_end():
        complete_now("openai", REQUEST)
        raise RuntimeError

    assert LedgerEntry.objects.count() == 2


def test_vectors_are_charged_too(in_alice, models, settings, monkeypatch):
    monkeypatch.setattr(settings.ENV, "embeddings_model", "sandbox-embedding")
    embed_now(["Where may I park?"])

    assert set(used()) == {"sandbox-embedding:input"}


def test_the_provider_s_own_count_is_compared(in_alice, bob, models, settings, monkeypatch):
    monkeypatch.setattr(settings.ENV, "openai_admin_key", "sk-admin")
    for tenant in (in_alice, bob):
        with entered(tenant):
            complete_now("openai", REQUEST)
    today = datetime.now(UTC).date()

    assert reconcile_day(day=today) == []

    models.counted[("sandbox-small", "output")] += 500
    (drift,) = reconcile_day(day=today)
    assert drift.what.startswith("sandbox-small:output")
    assert Drift.objects.count() == 1


def test_without_an_administrator_s_key_nothing_is_asked():
    assert tokens(datetime.now(UTC).date()) is None
