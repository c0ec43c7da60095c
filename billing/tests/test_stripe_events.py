"""Stripe's news: signed, kept once, in any order; what is not signed or makes no sense."""

from __future__ import annotations

import json
import random
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from billing.enums import EventState
from billing.models import Account, Invoice, StripeEvent
from billing.services import events, subscribing
from billing.tests.stripe import RETURN, pay, take_news, the_subscription
from sandbox.stripe.webhook import sign

# --- webhooks --------------------------------------------------------------------------------------------------------


def post(body: bytes, headers: dict[str, str]) -> int:
    answer = Client().post("/api/webhooks/stripe", body, content_type="application/json", headers={**headers, "host": "x"})
    return answer.status_code


def _dumped(value: object) -> bytes:
    return json.dumps(value).encode()


EVENT = json.dumps(
    {"id": "evt_1", "object": "event", "type": "charge.refunded", "created": 1, "data": {"object": {}}}
).encode()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Stripe-Signature": ""},
        {"Stripe-Signature": "t=1,v1=00"},
        {"Stripe-Signature": "nonsense"},
        sign(EVENT, "whsec_another").headers,
        sign(EVENT, "whsec_sandbox", at=1).headers,  # long ago
        sign(EVENT + b" ", "whsec_sandbox").headers,
    ],
)
def test_what_is_not_signed_is_refused(providers, db, headers):
    assert post(EVENT, headers) == 403
    assert not StripeEvent.objects.exists()


def test_without_a_secret_nothing_is_taken(db):
    assert post(EVENT, sign(EVENT, "").headers) == 403


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"object": "event"}', b"\xff", b"nul"])
def test_what_is_signed_and_makes_no_sense_is_refused(providers, db, body):
    headers = sign(body, "whsec_sandbox").headers

    assert post(body, headers) in (400, 403)
    assert not StripeEvent.objects.exists()


@given(
    st.binary(max_size=300) | st.recursive(st.none() | st.text() | st.integers(), st.lists, max_leaves=4).map(_dumped),
    st.dictionaries(
        st.sampled_from(["object", "id", "type", "created", "data"]), st.text(max_size=9) | st.integers(), max_size=5
    ),
    st.booleans(),
)
@examples(max_examples=60, suppress_health_check=list(HealthCheck))
def test_whatever_comes_is_answered_and_nothing_breaks(providers, db, body, event, is_signed):
    for sent in (body, json.dumps(event).encode()):
        headers = sign(sent, "whsec_sandbox").headers if is_signed else {"Stripe-Signature": "t=1,v1=0"}
        status = post(sent, headers)
        assert status in ((200, 400, 403) if is_signed else (403,))
    events.apply_waiting()
    assert not StripeEvent.objects.filter(state=EventState.WAITING).exists()


def test_the_same_event_twice_is_there_once(providers, db):
    headers = sign(EVENT, "whsec_sandbox").headers

    assert [post(EVENT, headers), post(EVENT, headers)] == [200, 200]
    assert StripeEvent.objects.count() == 1


def test_an_unknown_type_and_an_unknown_customer_change_nothing(subscribed, bank, providers):
    post(EVENT, sign(EVENT, "whsec_sandbox").headers)
    other = bank.add("customer", bank.new("customer", "cus"))
    bank.tell("customer.subscription.updated", {"id": "sub_x", "object": "subscription", "customer": other["id"]})
    before = Account.objects.values().get()
    take_news(bank)

    assert set(StripeEvent.objects.values_list("state", flat=True)) == {EventState.DONE, EventState.IGNORED}
    assert Account.objects.values().get() == before


def test_an_event_waits_while_stripe_is_away(subscribed, bank, providers):
    bank.change(the_subscription(bank), {"cancel_at_period_end": "true"})
    providers.bank.faults += [("subscriptions", 503, 0.0)] * 3
    take_news(bank)
    waiting = StripeEvent.objects.get(state=EventState.WAITING)
    assert waiting.attempts == 1 and waiting.problem

    events.apply_waiting()

    subscribed.refresh_from_db()
    assert subscribed.cancels_at is not None
    assert not StripeEvent.objects.filter(state=EventState.WAITING).exists()


def test_events_that_never_arrived_are_fetched(alice, owner, providers, bank, plan):
    bank.hooks.trouble.lose = 1_000
    pay(providers, subscribing.start_checkout(tenant=alice, plan=plan, by=owner, return_url=RETURN))
    take_news(bank)
    assert Account.objects.get().status == ""

    assert events.replay(since=timezone.now() - timedelta(hours=1)) > 0
    assert Account.objects.get().status == "trialing"
    assert events.replay(since=timezone.now() - timedelta(hours=1)) == 0


def test_ten_thousand_events_in_any_order_end_in_the_same_state(subscribed, bank, providers):
    """Whatever becomes of the events on the way: what is read is the state of Stripe, and that has no order."""
    sub = the_subscription(bank)
    bank.change(sub, {"trial_end": "now"})
    for number in range(12):
        bank.fails_next = number % 3 == 1
        bank.renew(sub)
        bank.pay_open(subscribed.customer_id)
    genuine = list(bank.hooks.posts)
    Invoice.objects.all().delete()
    in_order = _apply_all(genuine)

    shuffled = [dict(event, id=f"{event['id']}_{copy}") for event in genuine for copy in range(10_000 // len(genuine) + 1)]
    shuffled = (shuffled + shuffled)[: 2 * 10_000]  # all of it twice
    random.Random(3).shuffle(shuffled)
    Account.objects.update(status="", subscription_id="", period_begins=None, plan=None)
    Invoice.objects.all().delete()

    assert _apply_all(shuffled) == in_order
    assert StripeEvent.objects.filter(state__in=[EventState.DONE, EventState.IGNORED]).count() >= 10_000


def _apply_all(found):
    rows = [StripeEvent(event_id=event["id"], type=event["type"], created=timezone.now(), payload=event) for event in found]
    StripeEvent.objects.bulk_create(rows, ignore_conflicts=True)
    while events.apply_waiting(limit=6_000):
        pass
    account = Account.objects.values(
        "status", "subscription_id", "period_begins", "period_ends", "past_due_since", "plan"
    ).get()
    return account, list(
        Invoice.objects.order_by("stripe_id").values_list("stripe_id", "status", "total_minor", "paid_minor")
    )
