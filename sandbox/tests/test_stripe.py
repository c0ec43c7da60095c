"""The stand-in for Stripe keeps the vendor's rules, so that whoever breaks them hears of it here."""

from __future__ import annotations

import time

import pytest
import requests
import stripe

from sandbox.stripe.account import DAY
from sandbox.stripe.orders import sell
from sandbox.stripe.webhook import sign


@pytest.fixture
def bank(providers):
    return providers.bank.own


@pytest.fixture
def ask(providers, bank):
    def post(path: str, form: dict[str, str] | None = None, *, key: str = "", method: str = "POST", secret: str = ""):
        headers = {"Authorization": f"Bearer {secret or bank.key}", **({"Idempotency-Key": key} if key else {})}
        return requests.request(method, providers.url + path, data=form, headers=headers, timeout=10)

    return post


@pytest.fixture
def customer(ask):
    return ask("/v1/customers", {"name": "Ann", "email": "ann@example.com"}).json()["id"]


def test_another_key_is_another_account(ask, providers, customer):
    providers.bank.open("sk_test_other", "whsec_other")

    assert ask("/v1/customers", method="GET", secret="sk_test_wrong").status_code == 401
    assert ask(f"/v1/customers/{customer}", method="GET", secret="sk_test_other").status_code == 404
    assert ask("/v1/customers?email=ANN@example.com", method="GET").json()["data"][0]["id"] == customer


def test_a_request_under_the_same_key_is_answered_the_same(ask, bank):
    first = ask("/v1/customers", {"name": "Ann"}, key="k1")
    again = ask("/v1/customers", {"name": "Ann"}, key="k1")
    other = ask("/v1/customers", {"name": "Bea"}, key="k1")

    assert first.json() == again.json() and again.headers["Idempotent-Replayed"] == "true"
    assert other.status_code == 400 and other.json()["error"]["type"] == "idempotency_error"
    assert len(bank.objects["customer"]) == 1


def test_a_metered_price_takes_no_quantity(ask, customer):
    product = ask("/v1/products", {"name": "P"}).json()["id"]
    form = {"product": product, "currency": "usd", "recurring[usage_type]": "metered", "unit_amount_decimal": "5"}
    price = ask("/v1/prices", form).json()["id"]
    session = {"mode": "subscription", "customer": customer, "success_url": "https://example.com"}

    refused = ask("/v1/checkout/sessions", {**session, "line_items[0][price]": price, "line_items[0][quantity]": "1"})
    taken = ask("/v1/checkout/sessions", {**session, "line_items[0][price]": price})

    assert refused.status_code == 400 and taken.json()["url"].startswith("http")


@pytest.fixture
def meter(ask):
    return ask("/v1/billing/meters", {"display_name": "Minutes", "event_name": "minutes"}).json()["id"]


def event(customer: str, **changes: str) -> dict[str, str]:
    usual = {"event_name": "minutes", "payload[stripe_customer_id]": customer, "payload[value]": "3", "identifier": "a"}
    return {**usual, **changes}


def test_use_is_counted_once_and_can_be_taken_back_within_reach(ask, bank, customer, meter):
    assert ask("/v1/billing/meter_events", event(customer)).status_code == 200
    assert ask("/v1/billing/meter_events", event(customer)).json()["error"]["code"] == "duplicate_meter_event"
    now = int(time.time())
    where = f"/v1/billing/meters/{meter}/event_summaries?customer={customer}&start_time={now - 60}&end_time={now + 60}"
    assert ask(where, method="GET").json()["data"][0]["aggregated_value"] == 3.0

    form = {"event_name": "minutes", "type": "cancel", "cancel[identifier]": "a"}
    assert ask("/v1/billing/meter_event_adjustments", form).status_code == 200
    assert bank.meter_events == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"timestamp": str(int(time.time()) - 36 * DAY)},
        {"timestamp": str(int(time.time()) + 3_600)},
        {"payload[value]": "-1"},
        {"payload[stripe_customer_id]": "cus_nobody"},
        {"event_name": "unknown"},
    ],
)
def test_use_the_vendor_would_not_take(ask, customer, meter, changes):
    assert ask("/v1/billing/meter_events", event(customer, **changes)).status_code == 400


def test_events_are_signed_as_the_vendor_s_library_expects(bank):
    bank.tell("customer.updated", {"id": "cus_1", "object": "customer"})
    (post,) = bank.hooks.take()

    found = stripe.Webhook.construct_event(post.body, post.headers["Stripe-Signature"], bank.hooks.secret)

    assert found.type == "customer.updated" and found.api_version == "2026-10-28.endive"
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(post.body, sign(post.body, "whsec_x").headers["Stripe-Signature"], bank.hooks.secret)


def test_events_come_twice_out_of_order_or_not_at_all(bank):
    bank.hooks.trouble.duplicate = bank.hooks.trouble.shuffle = True
    sell(bank, name="Ann", email="ann@example.com")
    types = [post.body for post in bank.hooks.take()]
    assert len(types) == 2 * len(set(types)) and types != sorted(types, key=types.index, reverse=True)

    bank.hooks.trouble.lose = 1_000
    sell(bank, name="Bea", email="bea@example.com")
    assert bank.hooks.take() == []
    assert len(bank.events) > len(set(types))  # but they can be fetched


def test_a_payment_that_fails_leaves_the_invoice_open_until_a_new_card(bank):
    customer = sell(bank, name="Ann", email="ann@example.com", owes=True)
    (invoice,) = bank.objects["invoice"].values()
    (sub,) = bank.objects["subscription"].values()
    assert (invoice["status"], sub["status"]) == ("open", "incomplete")

    assert bank.pay_open(customer["id"]) == 1
    assert (invoice["status"], invoice["amount_remaining"], sub["status"]) == ("paid", 0, "active")


@pytest.mark.parametrize("path", ["/stripe/checkout/x", "/stripe/portal/x", "/stripe/invoices/x"])
def test_pages_of_nothing_are_not_there(providers, path):
    assert requests.get(providers.url + path, timeout=10).status_code == 404
