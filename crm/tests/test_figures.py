"""Scores and the dashboard."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from crm.models import Contact, ContactStatus, ScoreRule
from crm.selectors.dashboard import dashboard
from crm.services.scoring import score_contacts, score_everybody, somebody_is_new
from crm.tests.factories import make_contact, make_interaction
from tenants.context import entered

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("rule", "values", "applies"),
    [
        ({"kind": "field-filled", "field": "contact_email"}, {"contact_email": "a@example.com"}, True),
        ({"kind": "field-filled", "field": "contact_email"}, {}, False),
        ({"kind": "field-filled", "field": "custom_fields.x"}, {"custom_fields": {"x": 0}}, True),
        ({"kind": "field-is", "field": "status", "value": "Customer"}, {"status": "customer"}, True),
        ({"kind": "field-is", "field": "custom_fields.c", "value": "red"}, {"custom_fields": {"c": ["Red"]}}, True),
        ({"kind": "field-is", "field": "custom_fields.b", "value": "yes"}, {"custom_fields": {"b": True}}, True),
        ({"kind": "field-is", "field": "city", "value": "Ulm"}, {"city": "Bonn"}, False),
        ({"kind": "tagged", "value": "VIP"}, {"tags": ["vip"]}, True),
        ({"kind": "quiet", "at_least": 30}, {"last_interaction_at": NOW - timedelta(days=31)}, True),
        ({"kind": "quiet", "at_least": 30}, {"last_interaction_at": NOW - timedelta(days=29)}, False),
        ({"kind": "do-not-contact"}, {"do_not_mail": True}, True),
    ],
)
def test_rules_about_a_contact(rule, values, applies, in_alice):
    ScoreRule.objects.all().delete()
    ScoreRule.objects.create(label="because", points=7, **rule)
    contact = make_contact(created_at=NOW, **values)

    score_contacts(ids=[contact.pk], now=NOW)

    contact.refresh_from_db()
    assert (contact.score, contact.score_reasons) == ((7, [[7, "because"]]) if applies else (0, []))


@pytest.mark.parametrize(
    ("rule", "points"),
    [
        ({"kind": "calls-answered", "at_least": 2}, 7),
        ({"kind": "calls-answered", "at_least": 3}, 0),
        ({"kind": "calls-answered", "at_least": 2, "within_days": 10}, 0),
        ({"kind": "activity", "value": "meeting"}, 7),
        ({"kind": "activity", "value": "sms"}, 0),
        ({"kind": "activity", "at_least": 5}, 7),
        ({"kind": "email-engaged"}, 7),
    ],
)
def test_rules_about_what_happened(rule, points, in_alice):
    ScoreRule.objects.all().delete()
    ScoreRule.objects.create(label="because", points=7, **rule)
    contact, other = make_contact(), make_contact("Other")
    make_interaction(contact, "phone_call", metadata={"answered": True}, interaction_date=NOW - timedelta(days=5))
    make_interaction(contact, "phone_call", metadata={"answered": True}, interaction_date=NOW - timedelta(days=50))
    make_interaction(contact, "phone_call", metadata={"answered": False}, interaction_date=NOW)
    make_interaction(contact, "meeting")
    make_interaction(contact, "email", metadata={"opened_at": "2026-11-19"})

    score_contacts(ids=[contact.pk, other.pk], now=NOW)

    assert list(Contact.objects.order_by("pk").values_list("score", flat=True)) == [points, 0]


def test_what_did_not_change_is_not_written(in_alice, django_assert_num_queries):
    contacts = [make_contact(str(n)) for n in range(3)]
    ids = [contact.pk for contact in contacts]
    with django_assert_num_queries(4):  # rules, contacts, what happened, and one statement for all scores
        assert score_contacts(ids=ids) == 3
    assert score_contacts(ids=ids) == 0


def test_everybody_is_scored_a_batch_at_a_time(in_alice, bob, monkeypatch):
    monkeypatch.setattr("crm.services.scoring.BATCH", 2)
    for n in range(5):
        make_contact(str(n))
    with entered(bob):
        make_contact("Bob's")
    assert somebody_is_new()

    after = score_everybody(limit=4)
    assert after is not None and score_everybody(after=after, limit=4) is None

    assert not somebody_is_new()
    assert set(Contact.objects.values_list("score", flat=True)) == {0}
    with entered(bob):
        assert somebody_is_new()


def test_the_dashboard_adds_up(in_alice, alice, bob, owner):
    alice.time_zone = "Pacific/Auckland"
    monday = datetime(2026, 11, 15, 11, 30, tzinfo=UTC)  # there it is Monday, half past midnight
    ann = make_contact("Ann", status="lead", value=Decimal(1000), created_at=monday)
    make_contact("Ben", status="qualified", value=Decimal(400), created_at=monday - timedelta(hours=1))
    make_contact("Cy", status="customer", value=Decimal(900), created_at=NOW - timedelta(days=300))
    make_contact("Gone", status="lead", deleted_at=NOW)
    make_interaction(ann, "phone_call", metadata={"answered": True}, interaction_date=NOW - timedelta(days=1))
    make_interaction(ann, "phone_call", metadata={"answered": False}, interaction_date=NOW - timedelta(days=1))
    make_interaction(ann, "meeting", interaction_date=NOW - timedelta(days=40))
    make_interaction(ann, "task", subject="Ring", due_on=datetime(2026, 11, 21).date(), interaction_date=NOW)
    with entered(bob):
        make_interaction(make_contact("Bob's", value=Decimal(5)), "phone_call")

    board = dashboard(tenant=alice, now=NOW)

    assert board.contacts == 3
    assert {bar.query: bar.count for bar in board.funnel if bar.count} == {
        "status=lead": 1,
        "status=qualified": 1,
        "status=customer": 1,
    }
    assert [bar.count for bar in board.growth[-2:]] == [1, 1]
    assert board.growth[-1].query == "created_from=2026-11-16&created_to=2026-11-22"
    assert {bar.query: bar.count for bar in board.kinds if bar.count} == {
        "kind=phone_call&since=2026-10-23": 2,
        "kind=task&since=2026-10-23": 1,
    }
    assert (board.calls, board.answered_share) == (2, 0.5)
    assert (board.tasks.today, board.tasks.due) == (1, 1)
    assert [entry.subject or entry.kind for entry in board.recent] == ["Ring", "phone_call", "phone_call", "meeting"]
    assert board.forecast.total == Decimal(1000) * 10 / 100 + Decimal(400) * 50 / 100


def test_what_is_not_known_is_unknown(in_alice, alice, visit, owner):
    empty = dashboard(tenant=alice)
    assert empty.is_empty and empty.answered_share is None and empty.forecast.total is None
    assert b"No contacts yet" in visit(owner).get("/crm/").content

    make_contact()
    page = visit(owner).get("/crm/").content
    assert page.count(b"unknown") >= 2
    ContactStatus.objects.update(probability=None)
    make_contact(value=5)
    assert dashboard(tenant=alice).forecast.total is None


def test_every_figure_leads_to_the_list_behind_it(in_alice, alice, visit, owner):
    make_interaction(make_contact(status="prospect"), "meeting")
    make_interaction(make_contact("Binned", deleted_at=NOW), "phone_call", metadata={"answered": True})
    client = visit(owner)
    board = client.get("/crm/").context["board"]

    for bar in board.funnel:
        assert client.get(f"/crm/contacts/?{bar.query}").context["page"].total == bar.count
    for bar in board.growth:
        assert client.get(f"/crm/contacts/?{bar.query}").context["page"].total == bar.count
    for bar in board.kinds:
        assert len(client.get(f"/crm/activity/?{bar.query}").context["page"].entries) == bar.count
    answered = client.get(f"/crm/activity/?kind=phone_call&answered=yes&since={board.since}").context["page"].entries
    assert len(answered) == 1 and board.answered_share == 1
