"""Subscribing, paying, failing to pay and leaving, with a Stripe of our own on a real socket."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import requests
from django.core import mail
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from billing.enums import EventState, MeterState
from billing.models import Account, Drift, Invoice, LedgerEntry, MeterEvent, Plan, PlanMeter, StripeEvent
from billing.receivers import export_ledger, forget_events
from billing.services import events, reporting, subscribing
from billing.services.ledger import correct, record_usage
from billing.services.reconciling import tell_staff
from billing.services.syncing import sync_account, sync_invoices
from billing.stripe.client import NotConfiguredError, StripeError, installation_client
from billing.tests.conftest import usage
from sandbox.stripe.account import DAY
from sandbox.stripe.webhook import sign
from tenants.context import entered
from tenants.enums import Role
from tenants.models import Membership
from tenants.services.people import PeopleError, invite_person

RETURN = "https://alice.test/billing/plan/"


@pytest.fixture
def bank(providers):
    return providers.bank.own


@pytest.fixture
def plan(bank, db) -> Plan:
    made = Plan.objects.create(
        name="Small", slug="small", amount=Decimal(49), currency="USD", trial_days=14, max_users=2, is_default=True
    )
    PlanMeter.objects.create(
        plan=made,
        label="minutes of calls",
        provider="twilio",
        item="voice-inbound",
        unit="minute",
        event_name="call_minutes",
        included=Decimal(100),
        overage=Decimal("0.12"),
    )
    subscribing.make_prices(plan=made)
    return Plan.objects.get(pk=made.pk)


@pytest.fixture
def bigger(plan) -> Plan:
    made = Plan.objects.create(name="Big", slug="big", amount=Decimal(99), currency="USD")
    subscribing.make_prices(plan=made)
    return Plan.objects.get(pk=made.pk)


def pay(providers, url: str, what: str = "pay") -> requests.Response:
    """Do on Stripe's page what a person does."""
    return requests.post(url, data={"what": what}, allow_redirects=False, timeout=10)


def take_news(bank) -> None:
    """Hand every event that waits to the product, as Stripe posts them."""
    for post in bank.hooks.take():
        answer = Client().post(
            "/api/webhooks/stripe", post.body, content_type="application/json", headers={**post.headers, "host": "any"}
        )
        assert answer.status_code == 200
    events.apply_waiting()


@pytest.fixture
def subscribed(alice, owner, providers, bank, plan) -> Account:
    """Alice has subscribed, after the trial of its checkout."""
    url = subscribing.start_checkout(tenant=alice, plan=plan, by=owner, return_url=RETURN)
    assert pay(providers, url).status_code == 303
    take_news(bank)
    return Account.objects.get(tenant=alice)


def the_subscription(bank):
    (found,) = bank.objects["subscription"].values()
    return found


# --- plans -----------------------------------------------------------------------------------------------------------


def test_a_plan_s_prices_and_meters_are_made_once(bank, plan):
    subscribing.make_prices(plan=plan)
    meter = plan.meters.get()

    assert len(bank.objects["price"]) == 2 and len(bank.objects["meter"]) == 1
    price = bank.objects["price"][meter.price_id]
    assert price["recurring"] == {"interval": "month", "usage_type": "metered", "meter": meter.meter_id}
    assert price["tiers"] == [
        {"up_to": "100", "unit_amount_decimal": "0"},
        {"up_to": "inf", "unit_amount_decimal": "12"},
    ]
    assert bank.objects["price"][plan.price_id]["unit_amount"] == 4900


def test_two_attempts_after_a_lost_answer_make_one_price(providers, bank, db):
    made = Plan.objects.create(name="P", slug="p", amount=Decimal(10), currency="JPY")
    subscribing.make_prices(plan=made)
    Plan.objects.update(price_id="")  # the answer was lost before it was kept
    subscribing.make_prices(plan=Plan.objects.get())

    assert len(bank.objects["price"]) == 1
    assert next(iter(bank.objects["price"].values()))["unit_amount"] == 10  # yen have no hundredths


# --- from the trial to paid ------------------------------------------------------------------------------------------


def test_a_new_organisation_begins_with_the_default_plan_s_trial(plan, alice):
    account = subscribing.begin_trial(tenant=alice, now=datetime(2026, 11, 1, tzinfo=UTC))

    assert (account.status, account.plan) == ("trialing", plan)
    assert account.trial_ends_at == datetime(2026, 11, 15, tzinfo=UTC)
    assert subscribing.begin_trial(tenant=alice).trial_ends_at == account.trial_ends_at


def test_without_a_default_plan_nobody_is_billed(alice):
    assert subscribing.begin_trial(tenant=alice) is None
    assert not Account.objects.exists()


def test_checkout_leads_to_a_subscription(subscribed, bob, bank, plan):
    assert (subscribed.status, subscribed.plan) == ("trialing", plan)
    assert subscribed.period_ends - subscribed.period_begins == timedelta(days=14)
    assert subscribed.synced_at is not None and subscribed.billed_from is not None
    assert not Account.objects.filter(tenant=bob).exists()
    customer = bank.objects["customer"][subscribed.customer_id]
    assert customer["metadata"]["organisation"] == subscribed.tenant.schema_name


def test_whoever_comes_back_is_believed_only_as_far_as_stripe_says(alice, bob, owner, stranger, providers, bank, plan):
    url = subscribing.start_checkout(tenant=alice, plan=plan, by=owner, return_url=RETURN)
    session = url.rpartition("/")[2]
    assert not subscribing.finish_checkout(tenant=alice, session_id=session)  # nothing was paid yet
    assert Account.objects.get(tenant=alice).status == ""
    pay(providers, url)

    assert subscribing.finish_checkout(tenant=alice, session_id=session)  # before any webhook
    assert Account.objects.get(tenant=alice).status == "trialing"
    subscribing.account_for(bob)
    assert not subscribing.finish_checkout(tenant=bob, session_id=session)  # somebody else's
    assert Account.objects.get(tenant=bob).status == ""


def test_a_declined_card_leaves_everything_as_it_was(alice, owner, providers, bank, plan):
    url = subscribing.start_checkout(tenant=alice, plan=plan, by=owner, return_url=RETURN)

    assert "declined" in pay(providers, url, "decline").headers["Location"]
    take_news(bank)

    assert Account.objects.get(tenant=alice).status == ""


def test_the_rest_of_our_own_trial_is_kept(alice, owner, providers, bank, plan):
    Account.objects.create(tenant=alice, status="trialing", trial_ends_at=timezone.now() + timedelta(days=5))
    pay(providers, subscribing.start_checkout(tenant=alice, plan=plan, by=owner, return_url=RETURN))
    take_news(bank)

    sub = the_subscription(bank)
    assert sub["trial_end"] - sub["start_date"] == 5 * DAY


@pytest.mark.parametrize(("ended_days_ago", "days"), [(-1, 0), (1, 0), (None, 14)])
def test_a_trial_that_is_over_is_not_given_twice(plan, ended_days_ago, days):
    now = timezone.now()
    ends = None if ended_days_ago is None else now - timedelta(days=ended_days_ago)

    assert subscribing.trial_days(Account(trial_ends_at=ends), plan, now) == days


def test_the_trial_ends_and_the_first_invoice_is_paid(subscribed, bank):
    bank.change(the_subscription(bank), {"trial_end": "now"})
    take_news(bank)

    subscribed.refresh_from_db()
    assert subscribed.status == "active"
    paid = Invoice.objects.filter(tenant=subscribed.tenant, status="paid").order_by("-total_minor").first()
    assert (paid.total, paid.due, paid.currency) == (Decimal("49.00"), Decimal("0.00"), "USD")
    assert paid.page_url and paid.period_begins and paid.number


def test_a_second_subscription_is_refused(subscribed, owner, plan):
    with pytest.raises(subscribing.SubscribingError, match="already"):
        subscribing.start_checkout(tenant=subscribed.tenant, plan=plan, by=owner, return_url=RETURN)


def test_without_an_account_at_stripe_it_is_said(alice, owner, db):
    plan = Plan.objects.create(name="P", slug="p", amount=1, currency="USD", price_id="price_1")

    with pytest.raises(NotConfiguredError):
        subscribing.start_checkout(tenant=alice, plan=plan, by=owner, return_url=RETURN)


def test_a_stripe_that_is_away_is_said_and_may_be_tried_again(alice, owner, providers, bank, plan):
    providers.bank.faults += [("checkout", 500, 0.0)] * 3  # the library tries three times

    with pytest.raises(StripeError) as caught:
        subscribing.start_checkout(tenant=alice, plan=plan, by=owner, return_url=RETURN)

    assert caught.value.retryable
    assert subscribing.start_checkout(tenant=alice, plan=plan, by=owner, return_url=RETURN)
    assert len(bank.objects["customer"]) == 1


# --- failing to pay, changing, leaving -------------------------------------------------------------------------------


def test_a_failed_payment_is_overdue_since_its_invoice(subscribed, bank):
    sub = the_subscription(bank)
    bank.change(sub, {"trial_end": "now"})
    bank.fails_next = 1
    bank.renew(sub)
    take_news(bank)

    subscribed.refresh_from_db()
    assert subscribed.status == "past_due"
    owed = Invoice.objects.get(tenant=subscribed.tenant, status="open")
    assert subscribed.past_due_since == owed.created_at and owed.due == Decimal("49.00")

    bank.pay_open(subscribed.customer_id)
    take_news(bank)
    subscribed.refresh_from_db()
    assert (subscribed.status, subscribed.past_due_since) == ("active", None)
    assert not Invoice.objects.filter(status="open").exists()


def test_a_change_of_plan_replaces_the_price_and_the_meters(subscribed, bank, plan, bigger):
    subscribing.change_plan(tenant=subscribed.tenant, plan=bigger)

    subscribed.refresh_from_db()
    assert subscribed.plan == bigger
    assert [item["price"]["id"] for item in the_subscription(bank)["items"]["data"]] == [bigger.price_id]
    subscribing.change_plan(tenant=subscribed.tenant, plan=plan)
    prices = {item["price"]["id"] for item in the_subscription(bank)["items"]["data"]}
    assert prices == {plan.price_id, plan.meters.get().price_id}


def test_a_plan_limits_how_many_people_there_are(subscribed, alice, bob, plan, admin, owner, stranger):
    inviting = Membership.objects.get(tenant=alice, user=owner)
    elsewhere = Membership.objects.get(tenant=bob, user=stranger)
    with pytest.raises(PeopleError, match="2 people"):
        invite_person(tenant=alice, email="c@x.test", role=Role.MEMBER, invited_by=inviting, base_url="https://x")
    assert invite_person(tenant=bob, email="c@x.test", role=Role.MEMBER, invited_by=elsewhere, base_url="https://x")


def test_a_plan_that_is_too_small_is_refused(subscribed, alice, bigger, plan, admin, member):
    subscribing.change_plan(tenant=alice, plan=bigger)

    with pytest.raises(subscribing.SubscribingError, match="2 people"):
        subscribing.change_plan(tenant=alice, plan=plan)


def test_a_cancelled_subscription_ends_with_its_period(subscribed, bank):
    sub = the_subscription(bank)
    bank.change(sub, {"cancel_at_period_end": "true"})
    take_news(bank)
    subscribed.refresh_from_db()
    assert subscribed.cancels_at == subscribed.period_ends and subscribed.status == "trialing"

    bank.renew(sub)
    take_news(bank)
    subscribed.refresh_from_db()
    assert (subscribed.status, subscribed.cancels_at) == ("canceled", None)


def test_a_state_nobody_has_told_us_of_opens_nothing(subscribed, bank):
    the_subscription(bank)["status"] = "on_holiday"

    sync_account(account_id=subscribed.pk)

    subscribed.refresh_from_db()
    assert subscribed.status == "unpaid"


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


# --- use -------------------------------------------------------------------------------------------------------------


def used(tenant, minutes: int, **values) -> LedgerEntry:
    use = usage(quantity=Decimal(minutes), **{"at": timezone.now(), **values})
    record_usage(tenant=tenant, usages=[use])
    return LedgerEntry.objects.get(tenant=tenant, key=use.key)


def test_use_is_reported_once_by_the_ledger_s_key(subscribed, bob, bank):
    alice = subscribed.tenant
    entry = used(alice, 30)
    used(alice, 5, item="media-stream")  # not in the plan
    used(bob, 99)  # not subscribed

    for _ in range(2):
        reporting.queue_use()
        reporting.send_use()

    (event,) = bank.meter_events.values()
    assert event["identifier"] == f"{alice.pk}:{entry.key}"
    assert event["payload"] == {"stripe_customer_id": subscribed.customer_id, "value": "30"}
    assert MeterEvent.objects.get().state == MeterState.SENT


def test_an_answer_that_was_lost_does_not_count_twice(subscribed, bank, providers):
    used(subscribed.tenant, 30)
    reporting.queue_use()
    reporting.send_use()
    MeterEvent.objects.update(state=MeterState.WAITING, claimed_until=None)  # the worker died before it noted the answer

    reporting.send_use()

    assert len(bank.meter_events) == 1
    assert MeterEvent.objects.get().state == MeterState.SENT


def test_while_stripe_is_away_use_waits(subscribed, bank, providers):
    used(subscribed.tenant, 30)
    reporting.queue_use()
    providers.bank.faults += [("meter_events", 500, 0.0)] * 3
    with pytest.raises(StripeError):
        reporting.send_use()
    assert MeterEvent.objects.get().state == MeterState.WAITING

    assert reporting.send_use() == 1
    assert len(bank.meter_events) == 1


def test_two_workers_report_different_entries(subscribed, bank):
    for _ in range(4):
        used(subscribed.tenant, 1)
    reporting.queue_use()

    first = reporting._claim(2, timezone.now())
    second = reporting._claim(10, timezone.now())

    assert len(first) == len(second) == 2
    assert not {event.pk for event in first} & {event.pk for event in second}


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-11-20 12:00", "same"),
        ("2026-10-31 23:59", "now"),  # its period has been invoiced
        ("2026-10-10 12:00", "now"),  # and this one Stripe would refuse
    ],
)
def test_late_use_counts_in_the_period_that_runs(at, expected):
    now, begins = datetime(2026, 11, 20, 13, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
    when = datetime.fromisoformat(at).replace(tzinfo=UTC)

    found = reporting.reported_at(at=when, period_begins=begins, now=now)

    assert found == (when if expected == "same" else now)


def test_use_of_the_last_minutes_of_a_period_is_on_its_invoice():
    begins = datetime(2026, 11, 1, tzinfo=UTC)
    when = begins - timedelta(minutes=5)

    assert reporting.reported_at(at=when, period_begins=begins, now=begins + timedelta(minutes=10)) == when


def test_a_correction_downwards_takes_the_report_back(subscribed, bank):
    entry = used(subscribed.tenant, 30)
    reporting.queue_use()
    reporting.send_use()
    correct(entry=entry, key=f"{entry.key}:less", quantity=Decimal(-10), amount=None)

    reporting.queue_use()
    reporting.send_use()

    (event,) = bank.meter_events.values()
    assert event["payload"]["value"] == "20"
    assert sorted(MeterEvent.objects.values_list("state", flat=True)) == [MeterState.SENT, MeterState.TAKEN_BACK]


def test_a_correction_that_comes_too_late_is_left_to_a_person(subscribed, bank):
    entry = used(subscribed.tenant, 30)
    reporting.queue_use()
    reporting.send_use()
    MeterEvent.objects.update(sent_at=timezone.now() - timedelta(days=2))
    correct(entry=entry, key=f"{entry.key}:less", quantity=Decimal(-10), amount=None)

    reporting.queue_use()
    reporting.send_use()

    refused = MeterEvent.objects.get(state=MeterState.REFUSED)
    assert "credit" in refused.problem
    assert next(iter(bank.meter_events.values()))["payload"]["value"] == "30"


def test_use_beyond_what_is_included_is_on_the_invoice(subscribed, bank):
    sub = the_subscription(bank)
    bank.change(sub, {"trial_end": "now"})
    take_news(bank)
    used(subscribed.tenant, 150, at=timezone.now() + timedelta(seconds=2))
    reporting.queue_use()
    reporting.send_use()
    bank.renew(sub)
    take_news(bank)

    newest = Invoice.objects.order_by("-created_at", "-total_minor").first()
    assert newest.total == Decimal("55.00")  # 49 and fifty minutes at twelve cents


def test_what_stripe_has_added_up_is_compared(subscribed, owner, bank, plan):
    meter = plan.meters.get()
    used(subscribed.tenant, 100)
    reporting.queue_use()
    reporting.send_use()
    MeterEvent.objects.update(sent_at=timezone.now() - timedelta(hours=1))

    fine = reporting.compare_use(account=Account.objects.get(), meter=meter)
    assert (fine.ours, fine.theirs, fine.drift) == (100, 100, None)

    next(iter(bank.meter_events.values()))["payload"]["value"] = "90"
    found = reporting.compare_use(account=Account.objects.get(), meter=meter)
    assert found.drift is not None and (found.drift.ours, found.drift.theirs) == (100, 90)
    assert len(found.drift.keys) == 1
    assert reporting.compare_all() == [found.drift]
    assert Drift.objects.count() == 1
    owner.is_staff = True
    owner.save()
    assert tell_staff([found.drift]) == 1
    assert "theirs 90, ours 100" in mail.outbox[-1].body and mail.outbox[-1].to == [owner.email]


def test_what_was_sent_a_moment_ago_is_no_difference(subscribed, bank, plan):
    used(subscribed.tenant, 100)
    reporting.queue_use()
    reporting.send_use()
    bank.meter_events.clear()  # Stripe has not added it up yet

    assert reporting.compare_use(account=Account.objects.get(), meter=plan.meters.get()).drift is None


def test_the_ledger_what_was_reported_and_the_invoice_agree(subscribed, bank, plan):
    """Use, ledger, meter and invoice: one sum all the way."""
    alice = subscribed.tenant
    bank.change(the_subscription(bank), {"trial_end": "now"})
    take_news(bank)
    for minutes in (1, 7, 30, 62):
        used(alice, minutes, at=timezone.now() + timedelta(seconds=1))
    reporting.queue_use()
    reporting.send_use()

    ledger = sum(entry.quantity for entry in LedgerEntry.objects.filter(tenant=alice))
    reported = sum(event.value for event in MeterEvent.objects.filter(state=MeterState.SENT))
    at_stripe = sum(Decimal(event["payload"]["value"]) for event in bank.meter_events.values())
    assert ledger == reported == at_stripe == 100


# --- what is kept of invoices ----------------------------------------------------------------------------------------


def test_invoices_are_read_whole_again_on_demand(subscribed, bank):
    Invoice.objects.all().delete()

    assert sync_invoices(account=subscribed) == len(bank.objects["invoice"]) > 0
    assert Invoice.objects.count() == len(bank.objects["invoice"])


def test_somebody_else_s_invoice_is_not_kept(subscribed, bank):
    other = bank.add("customer", bank.new("customer", "cus"))
    invoice = next(iter(bank.objects["invoice"].values()))
    invoice["customer"] = other["id"]
    Invoice.objects.all().delete()

    sync_invoices(account=subscribed)

    assert not Invoice.objects.exists()


def test_the_client_names_the_version_and_asks_the_right_server(providers, bank):
    assert installation_client().account()["id"] == bank.id


def test_an_organisation_s_events_run_inside_it(subscribed, alice):
    from billing.signals import account_changed

    seen = []
    account_changed.connect(lambda account, **_: seen.append(account.tenant), weak=False, dispatch_uid="test")
    try:
        Account.objects.update(status="active")
        sync_account(account_id=subscribed.pk)
    finally:
        account_changed.disconnect(dispatch_uid="test")

    assert seen == [alice]


def test_an_organisation_that_is_deleted_is_not_charged_any_more(subscribed, bank):
    subscribed.delete()
    assert the_subscription(bank)["status"] == "canceled"


def test_it_is_deleted_though_stripe_is_away(subscribed, bank, providers, caplog):
    providers.bank.faults += [("subscriptions", 500, 0.0)] * 3

    subscribed.delete()

    assert the_subscription(bank)["status"] == "trialing"
    assert "end it at Stripe" in caplog.text
    assert not Account.objects.exists()


def test_an_organisation_s_copy_has_its_ledger(alice, bob, rate, tmp_path):
    rate("0.01")
    record_usage(tenant=alice, usages=[usage(key="mine")])
    record_usage(tenant=bob, usages=[usage(key="theirs")])
    StripeEvent.objects.create(event_id="evt_1", scope=alice.schema_name, type="x", created=timezone.now(), payload={})

    with entered(alice):
        export_ledger(tenant=alice, folder=tmp_path)
    forget_events(schema=alice.schema_name)

    text = (tmp_path / "ledger.csv").read_text()
    assert "mine" in text and "theirs" not in text
    assert not StripeEvent.objects.exists()
