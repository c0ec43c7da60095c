"""Subscribing, paying, failing to pay and leaving, with a Stripe of our own on a real socket."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from billing.models import Account, Invoice, Plan
from billing.services import subscribing
from billing.services.syncing import sync_account
from billing.stripe.client import NotConfiguredError, StripeError
from billing.tests.stripe import RETURN, pay, take_news, the_subscription
from sandbox.stripe.account import DAY
from tenants.enums import Role
from tenants.models import Membership
from tenants.services.people import PeopleError, invite_person

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
