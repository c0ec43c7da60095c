"""Contacts as customers of the organisation's own Stripe: linked, mirrored, told of, and nobody else's."""

from __future__ import annotations

import json

import pytest
from django.test import Client

from agents.billing_tools import billing_status
from agents.tools import ToolContext
from billing.models import StripeEvent
from crm.email.models import EmailTemplate
from crm.email.rendering.variables import catalogue, values_for
from crm.email.selectors.letters import preview
from crm.models import Contact
from crm.payments.models import Customer, CustomerInvoice, Payment, StripeConnection, Subscription
from crm.payments.selectors import next_due, standing_of
from crm.payments.services import connecting, events, mirroring
from crm.payments.services.connecting import PaymentsError
from crm.services.contacts import create_contact
from crm.signals import contacts_merged, merge_undone
from sandbox.stripe.webhook import sign
from tenants.context import entered

SECRET = "whsec_alice"


@pytest.fixture
def shop(providers):
    """Alice's own account at Stripe."""
    return providers.bank.open("sk_test_alice", SECRET, name="Alice's Shop")


@pytest.fixture
def connected(in_alice, owner, shop) -> StripeConnection:
    return connecting.connect(secret_key=shop.key, webhook_secret=SECRET, by=owner)


@pytest.fixture
def ann(in_alice, owner) -> Contact:
    values = {
        "contact_name": "Ann Miller",
        "contact_email": "ann@example.com",
        "phones": [{"label": "", "number": "+15557001"}],
    }
    return create_contact(values=values, by=owner)


def at_stripe(shop, email: str = "ann@example.com"):
    return shop.add("customer", shop.new("customer", "cus", name="Ann", email=email))


def sell(shop, customer, *, amount: int = 4_900, fails: bool = False):
    """Sell a subscription; its first invoice is paid, or stays open."""
    product = shop.add("product", shop.new("product", "prod", name="Haircuts"))
    price = shop.new("price", "price", product=product["id"], currency="usd", unit_amount=amount)
    price["recurring"] = {"interval": "month", "usage_type": "licensed", "meter": None}
    shop.add("price", price)
    shop.fails_next = int(fails)
    return shop.subscribe(customer=customer["id"], prices=[(price["id"], 1)], trial_end=None, metadata={})


# --- connecting ------------------------------------------------------------------------------------------------------


def test_a_key_is_tried_before_it_is_kept_and_kept_sealed(connected, shop):
    assert (connected.account_id, connected.account_name) == (shop.id, "Alice's Shop")
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT secret_key::text, webhook_secret::text FROM crm_payments_stripeconnection")
        stored = "".join(cursor.fetchone())
    assert shop.key not in stored and SECRET not in stored


def test_a_key_that_is_none_is_refused(in_alice, owner, providers):
    with pytest.raises(PaymentsError, match="does not know"):
        connecting.connect(secret_key="sk_test_wrong", webhook_secret="", by=owner)
    assert not StripeConnection.objects.exists()


def test_new_keys_of_the_same_account_keep_the_links_and_another_account_does_not(connected, ann, owner, shop, providers):
    mirroring.link(contact=ann, stripe_id=at_stripe(shop)["id"])
    connecting.connect(secret_key=shop.key, webhook_secret="whsec_new", by=owner)
    assert Customer.objects.count() == 1

    other = providers.bank.open("sk_test_other", "whsec_other")
    connecting.connect(secret_key=other.key, webhook_secret="", by=owner)

    assert not Customer.objects.exists()
    assert StripeConnection.objects.count() == 1


def test_disconnecting_forgets_what_was_read(connected, ann, owner, shop):
    mirroring.link(contact=ann, stripe_id=at_stripe(shop)["id"])

    connecting.disconnect(by=owner)

    assert not Customer.objects.exists() and not StripeConnection.objects.exists()
    ann.refresh_from_db()
    assert ann.stripe_customer_id


# --- linking ---------------------------------------------------------------------------------------------------------


def test_customers_with_the_same_address_are_offered(connected, ann, shop):
    mine, _ = at_stripe(shop), at_stripe(shop, "bob@example.com")

    assert [one["id"] for one in mirroring.candidates(contact=ann)] == [mine["id"]]


def test_linking_reads_everything(connected, ann, bob, owner, shop):
    customer = at_stripe(shop)
    sell(shop, customer)

    mirroring.link(contact=ann, stripe_id=customer["id"])

    ann.refresh_from_db()
    assert ann.stripe_customer_id == customer["id"]
    standing = standing_of(ann)
    assert [one.status for one in standing.subscriptions] == ["active"]
    assert [(str(one.total), one.status) for one in standing.paid_invoices] == [("49.00", "paid")]
    assert [str(one.amount) for one in standing.payments] == ["49.00"]
    assert standing.customer.synced_at is not None
    with entered(bob):
        assert not Customer.objects.exists()


@pytest.mark.parametrize(
    ("price", "quantity", "shown"),
    [
        ({"unit_amount": 1000, "currency": "usd"}, 5, "$50.00</span> a month"),
        ({"unit_amount": 500_000, "currency": "ugx"}, 1, "5,000 UGX</span> a month"),
        ({"unit_amount": 3000, "currency": "usd", "interval_count": 3}, 1, "$30.00</span> every 3 months"),
    ],
)
def test_the_page_says_what_a_subscription_costs_and_how_often(connected, ann, owner, shop, visit, price, quantity, shown):
    customer = at_stripe(shop)
    product = shop.add("product", shop.new("product", "prod", name="Haircuts"))
    recurring = {"interval": "month", "usage_type": "licensed", "meter": None}
    recurring["interval_count"] = price.pop("interval_count", 1)
    made = shop.add("price", shop.new("price", "price", product=product["id"], recurring=recurring, **price))
    shop.subscribe(customer=customer["id"], prices=[(made["id"], quantity)], trial_end=None, metadata={})
    mirroring.link(contact=ann, stripe_id=customer["id"])

    page = visit(owner).get(f"/crm/contacts/{ann.pk}/payments/").content.decode()

    assert shown in page


def test_a_customer_is_made_once(connected, ann, owner, shop):
    first = mirroring.create(contact=ann)
    again = mirroring.create(contact=ann)

    assert first.stripe_id == again.stripe_id
    (made,) = shop.objects["customer"].values()
    assert (made["name"], made["email"], made["metadata"]) == ("Ann Miller", "ann@example.com", {"contact": str(ann.pk)})


def test_one_customer_is_one_contact(connected, ann, owner, shop):
    customer = at_stripe(shop)
    mirroring.link(contact=ann, stripe_id=customer["id"])
    other = create_contact(values={"contact_name": "Bea"}, by=owner)

    with pytest.raises(PaymentsError, match="Ann Miller"):
        mirroring.link(contact=other, stripe_id=customer["id"])


def test_a_customer_nobody_has_is_refused(connected, ann, owner):
    with pytest.raises(PaymentsError, match="no such customer"):
        mirroring.link(contact=ann, stripe_id="cus_nobody")
    assert not Customer.objects.exists()


def test_without_a_connection_it_is_said(in_alice, ann):
    with pytest.raises(PaymentsError, match="connected"):
        mirroring.candidates(contact=ann)


def test_a_merge_takes_the_customer_along(connected, ann, owner, shop):
    mirroring.link(contact=ann, stripe_id=at_stripe(shop)["id"])
    kept = create_contact(values={"contact_name": "Ann M.", "contact_email": "a@example.com"}, by=owner)

    moved: dict[str, list[int]] = {}
    contacts_merged.send(sender=Contact, kept_id=kept.pk, merged_id=ann.pk, moved=moved)
    assert Customer.objects.get().contact_id == kept.pk
    merge_undone.send(sender=Contact, kept_id=kept.pk, merged_id=ann.pk, moved=moved)
    assert Customer.objects.get().contact_id == ann.pk


# --- news ------------------------------------------------------------------------------------------------------------


def post(connected, body: bytes, headers, token: str | None = None) -> int:
    url = connecting.webhook_address(connected) if token is None else f"x/api/webhooks/stripe/{token}"
    path = url[url.index("/api/") :]
    answer = Client().post(path, body, content_type="application/json", headers={**headers, "host": "any"})
    return answer.status_code


def take_news(connected, shop) -> None:
    for news in shop.hooks.take():
        assert post(connected, news.body, news.headers) == 200
    events.apply_waiting()


def test_what_changes_at_stripe_changes_here(connected, ann, owner, shop):
    customer = at_stripe(shop)
    mirroring.link(contact=ann, stripe_id=customer["id"])
    sub = sell(shop, customer)
    take_news(connected, shop)
    assert Subscription.objects.get().status == "active"

    shop.cancel(sub)
    take_news(connected, shop)

    assert Subscription.objects.get().status == "canceled"
    connected.refresh_from_db()
    assert connected.event_at is not None


def test_news_out_of_order_and_twice_end_the_same(connected, ann, owner, shop):
    customer = at_stripe(shop)
    mirroring.link(contact=ann, stripe_id=customer["id"])
    shop.hooks.trouble.duplicate = shop.hooks.trouble.shuffle = True
    sell(shop, customer, fails=True)
    shop.pay_open(customer["id"])

    take_news(connected, shop)

    assert list(CustomerInvoice.objects.values_list("status", "due_minor")) == [("paid", 0)]
    assert Payment.objects.count() == 1
    assert StripeEvent.objects.values("event_id").distinct().count() == StripeEvent.objects.count()


def test_customers_who_are_no_contacts_are_not_kept(connected, shop):
    sell(shop, at_stripe(shop))

    take_news(connected, shop)

    assert not Subscription.objects.exists()
    assert set(StripeEvent.objects.values_list("state", flat=True)) == {"ignored"}


BODY = json.dumps({"id": "evt_1", "object": "event", "type": "invoice.paid", "created": 1, "data": {"object": {}}}).encode()


def test_what_is_not_from_this_account_is_refused(connected, bob, alice):
    good = sign(BODY, SECRET).headers
    for token in (
        "",
        "nothing",
        f"{alice.schema_name}.",
        f"{alice.schema_name}.wrong",
        f"{bob.schema_name}.{connected.token}",
    ):
        assert post(connected, BODY, good, token=token) in (403, 404)
    assert post(connected, BODY, sign(BODY, "whsec_bob").headers) == 403
    assert post(connected, BODY, {}) == 403
    assert not StripeEvent.objects.exists()
    assert post(connected, BODY, good) == 200


def test_an_event_of_one_organisation_is_not_another_s(connected, bob, alice):
    post(connected, BODY, sign(BODY, SECRET).headers)

    with entered(bob):
        assert events.apply_waiting() == 0
    from billing.services.events import apply_waiting as of_the_installation

    assert of_the_installation() == 0
    with entered(alice):
        assert events.apply_waiting() == 1


def test_while_stripe_is_away_news_wait(connected, ann, owner, shop, providers):
    customer = at_stripe(shop)
    mirroring.link(contact=ann, stripe_id=customer["id"])
    sell(shop, customer)
    providers.bank.faults += [("/v1/subscriptions", 500, 0.0)] * 3
    take_news(connected, shop)
    assert StripeEvent.objects.filter(state="waiting").exists()

    events.apply_waiting()

    assert Subscription.objects.get().status == "active"


# --- telling ---------------------------------------------------------------------------------------------------------


def context(alice, number: str = "+15557001") -> ToolContext:
    return ToolContext("c1", alice.schema_name, "", number, caller_verified=True)


def test_an_agent_learns_of_the_caller_s_own_account(connected, ann, owner, shop, alice):
    customer = at_stripe(shop)
    sell(shop, customer, fails=True)
    mirroring.link(contact=ann, stripe_id=customer["id"])

    told = billing_status(context(alice))

    assert told["has_account"] and told["as_of"]
    assert [one["due"] for one in told["open_invoices"]] == ["$49.00"]
    assert told["last_payment"] is None
    assert billing_status(context(alice, "+15559999")) == {"ok": True, "is_known": False}
    assert "cus_" not in json.dumps(told)


def test_a_contact_without_an_account_is_said_to_have_none(in_alice, ann, alice):
    assert billing_status(context(alice)) == {"ok": True, "is_known": True, "has_account": False}


def test_a_reminder_names_the_invoice_that_is_due_first(connected, ann, owner, shop):
    customer = at_stripe(shop)
    sell(shop, customer, fails=True)
    mirroring.link(contact=ann, stripe_id=customer["id"])
    invoice = next_due(ann)

    (values,) = values_for(contacts=[ann], names=["invoice_number", "invoice_amount", "invoice_url", "invoice_due_on"])
    template = EmailTemplate.objects.select_related("current").get(key="invoice-reminder")
    letter = preview(version=template.current, contact=ann)

    assert values["invoice_number"] == invoice.number and values["invoice_amount"] == "$49.00"
    assert invoice.number in letter.subject and invoice.page_url in letter.html
    assert "invoice_number" in catalogue()


def test_whoever_owes_nothing_gets_the_general_words(in_alice, ann):
    template = EmailTemplate.objects.select_related("current").get(key="invoice-reminder")

    letter = preview(version=template.current, contact=ann)

    assert "one of our invoices seems to be still open" in letter.html
    assert values_for(contacts=[ann], names=["invoice_number"]) == [{"invoice_number": ""}]


# --- pages -----------------------------------------------------------------------------------------------------------


def test_from_connecting_to_the_reminder_on_pages(alice, owner, visit, shop, in_alice, ann):
    client = visit(owner)
    customer = at_stripe(shop)
    sell(shop, customer, fails=True)
    where = f"/crm/contacts/{ann.pk}/payments/"
    assert b"No Stripe account is connected" in client.get(where).content

    wrong = client.post("/settings/payments/", {"secret_key": "sk_test_wrong"})
    assert wrong.status_code == 422 and b"does not know this key" in wrong.content
    assert client.post("/settings/payments/", {"secret_key": "password"}).status_code == 422
    assert client.post("/settings/payments/", {"secret_key": shop.key, "webhook_secret": SECRET}).status_code == 302
    page = client.get("/settings/payments/").content.decode()
    assert "Alice&#x27;s Shop" in page and "/api/webhooks/stripe/" in page and shop.key not in page

    assert customer["id"] in client.get(where).content.decode()
    client.post(where + "link/", {"stripe_id": customer["id"]})
    page = client.get(where).content.decode()
    assert "$49.00" in page and "Write a reminder" in page and "According to Stripe" in page
    client.post(where + "refresh/")
    client.post(where + "unlink/")
    assert "Who is this at Stripe?" in client.get(where).content.decode()
    client.post(where + "create/")
    assert Customer.objects.count() == 1
    client.post("/settings/payments/disconnect/")
    assert not StripeConnection.objects.exists()


def test_members_and_strangers_see_and_change_nothing(alice, member, stranger, visit, in_alice, ann, connected):
    where = f"/crm/contacts/{ann.pk}/payments/"
    for person, status in ((member, 403), (stranger, 404)):
        client = visit(person)
        assert client.get(where).status_code == status
        assert client.get("/settings/payments/").status_code == status
        for what in ("link/", "create/", "unlink/", "refresh/"):
            assert client.post(where + what).status_code == status
        assert client.post("/settings/payments/disconnect/").status_code == status
    assert visit().get(where).status_code == 302
    assert StripeConnection.objects.exists()
