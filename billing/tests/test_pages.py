"""Billing's pages, its part of the API, and what every page says of money."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.core import mail
from django.utils import timezone

from billing.enums import Kind, Leg, Level, Period, Unit
from billing.models import Account, Budget, BudgetAlert, Invoice, LedgerEntry, Plan, Rate
from billing.services.alerts import send_alert, unmailed
from billing.services.budgets import standings, tell_levels
from billing.services.ledger import record_usage
from billing.services.storing import meter_storage
from billing.services.subscribing import make_prices
from billing.tests.conftest import meter_minutes, usage
from crm.hooks.models import WebhookDelivery, WebhookEndpoint
from tenants.context import entered
from tenants.models import AuditEvent

PAGES = ["/billing/", "/billing/entries/", "/billing/budget/", "/billing/plan/", "/billing/costs.csv"]


@pytest.fixture
def used(alice, bob, rate, line):
    """Alice has used a little today, Bob much."""
    rate("0.01")
    rate("0.02", provider="sendgrid", item="email", unit="message")
    now = timezone.now()
    record_usage(
        tenant=alice,
        usages=[
            usage(key="a", quantity=Decimal(50), at=now, line_id=line.pk, subject="3f1d0000-0000-4000-8000-000000000001"),
            usage(key="b", provider="sendgrid", item="email", unit=Unit.MESSAGE, leg=Leg.EMAIL, kind=Kind.EMAIL, at=now),
            usage(key="c", provider="deepgram", item="voice-agent", leg=Leg.AGENT, at=now),
        ],
    )
    record_usage(tenant=bob, usages=[usage(key="z", quantity=Decimal(77_700), at=now)])


@pytest.mark.parametrize("page", PAGES)
def test_pages_are_for_managers_of_the_organisation(page, alice, owner, admin, member, stranger, visit, used):
    assert visit(owner).get(page).status_code == visit(admin).get(page).status_code == 200
    assert visit(member).get(page).status_code == 403
    assert visit(stranger).get(page).status_code == 404
    assert visit().get(page).status_code == 302


@pytest.mark.parametrize("page", PAGES)
def test_pages_of_an_organisation_that_has_used_nothing(page, alice, owner, visit):
    assert visit(owner).get(page).status_code == 200


def test_costs_show_what_was_spent_and_what_is_unknown(owner, visit, used, line):
    text = visit(owner).get("/billing/").content.decode()

    assert "$0.52" in text
    assert line.name in text and "sendgrid email" in text
    assert "1 use of this month has no known price" in text
    assert "777" not in text
    assert "for each booking" in text  # nobody counts bookings yet
    assert 'class="unknown"' in text


def test_another_month_can_be_looked_at(owner, visit, used):
    assert "Nothing has been used in" in visit(owner).get("/billing/?month=2020-02").content.decode()
    for nonsense in ("2020", "2020-13", "x", "'", "0000-01"):
        assert visit(owner).get("/billing/", {"month": nonsense}).status_code == 404


def test_the_rows_behind_a_figure(owner, visit, used):
    client = visit(owner)

    assert "voice-inbound" in client.get("/billing/entries/?leg=carrier").content.decode()
    assert "voice-inbound" not in client.get("/billing/entries/?leg=email").content.decode()
    assert "No entries" in client.get("/billing/entries/?day=2020-01-01").content.decode()
    assert client.get("/billing/entries/?day=nonsense").status_code == 404
    assert client.get("/billing/entries/?before=x").status_code == 404


def test_entries_come_a_page_at_a_time(alice, owner, visit, rate):
    rate()
    record_usage(tenant=alice, usages=[usage(at=timezone.now()) for _ in range(60)])
    client = visit(owner)

    first = client.get("/billing/entries/")
    second = client.get("/billing/entries/", {"before": first.context["next"]})

    assert len(first.context["rows"]) == 50 and len(second.context["rows"]) == 10
    assert second.context["next"] is None


def test_the_download_is_the_ledger(owner, visit, used):
    answer = visit(owner).get("/billing/costs.csv")
    lines = b"".join(answer.streaming_content).decode().splitlines()

    assert lines[0].startswith("at,kind,subject")
    assert len(lines) == 4
    assert lines[3].split(",")[8] == ""  # unknown is nothing, and not 0


# --- budgets ---------------------------------------------------------------------------------------------------------

LEVELS = {"info_percent": 50, "warning_percent": 80, "critical_percent": 100, "emergency_percent": 120}


def test_a_budget_is_set_told_and_shown_everywhere(alice, owner, visit, used):
    client = visit(owner)
    answer = client.post("/billing/budget/", {"monthly": "0.60", "expected_call_s": 120, **LEVELS})

    assert answer.status_code == 302
    assert Budget.objects.get(tenant=alice).monthly == Decimal("0.60")
    assert AuditEvent.objects.filter(tenant=alice, action="budget-changed").exists()
    assert [alert.level for alert in BudgetAlert.objects.filter(tenant=alice)] == [Level.WARNING]
    assert "Most of the budget is used" in client.get("/").content.decode()
    page = client.get("/billing/budget/").content.decode()
    assert "$0.52" in page and "$0.60" in page
    client.post("/billing/budget/", {"monthly": "60", "expected_call_s": 120, **LEVELS})
    assert "of the budget is used" not in client.get("/").content.decode()  # a raised limit is no news
    assert 'aria-label="$0.52 spent and $0.00 set aside of $0.60"' in page


@pytest.mark.parametrize(
    "values",
    [
        {"monthly": "-1"},
        {"monthly": "much"},
        {"warning_percent": 30},
        {"emergency_percent": 100},
        {"expected_call_s": 0},
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(alice, owner, visit, values):
    before = Budget.objects.values().get(tenant=alice)

    answer = visit(owner).post("/billing/budget/", {"expected_call_s": 120, **LEVELS, **values})

    assert answer.status_code == 422
    assert Budget.objects.values().get(tenant=alice) == before


def test_members_are_not_told_of_money(alice, member, owner, visit, used):
    Budget.objects.filter(tenant=alice).update(monthly=Decimal("0.10"))
    tell_levels(tenant=alice)

    assert "The budget is used up" in visit(owner).get("/").content.decode()
    assert "budget" not in visit(member).get("/").content.decode().lower()


def test_each_level_is_told_once_by_mail_and_webhook(alice, bob, used, in_alice, owner, admin, member):
    WebhookEndpoint.objects.create(url="https://example.com/hook", secret="s", events=["budget.reached"])

    for limit in ("1.00", "1.00", "0.60", "0.60", "1.00"):  # used up by half, then by most, and half once more
        Budget.objects.filter(tenant=alice).update(monthly=Decimal(limit))
        for alert in tell_levels(tenant=alice):
            send_alert(alert_id=alert.pk)
    for alert in BudgetAlert.objects.all():
        assert not send_alert(alert_id=alert.pk)

    assert sorted(message.to[0] for message in mail.outbox) == sorted([owner.email, admin.email] * 2)
    assert "Warning: $0.52 of $0.60 this month" in [message.subject for message in mail.outbox][-1]
    assert WebhookDelivery.objects.count() == 2
    assert {delivery.payload["level"] for delivery in WebhookDelivery.objects.all()} == {"info", "warning"}
    with entered(bob):
        assert not WebhookDelivery.objects.exists()


def test_levels_that_are_passed_at_once_are_told_as_one(alice, used, in_alice):
    Budget.objects.filter(tenant=alice).update(daily=Decimal("0.10"), monthly=Decimal("0.10"))

    told = {(alert.period, alert.level) for alert in tell_levels(tenant=alice)}

    assert told == {(Period.DAY, Level.EMERGENCY), (Period.MONTH, Level.EMERGENCY)}
    Budget.objects.filter(tenant=alice).update(daily=Decimal("0.60"))
    assert tell_levels(tenant=alice) == []


def test_every_limit_stands_where_its_own_period_does(alice, bob, used, rate):
    rate("1", item="yesterday")
    at = timezone.now() - timedelta(days=1)
    record_usage(tenant=alice, usages=[usage(item="yesterday", quantity=Decimal(2), at=at)])
    Budget.objects.filter(tenant=alice).update(daily=Decimal(1), weekly=Decimal(10), monthly=Decimal(100))

    found = {one.period: one for one in standings(tenant=alice)}

    assert found[Period.DAY].spent == Decimal("0.52") and found[Period.DAY].level == Level.INFO
    assert {one.limit for one in found.values()} == {1, 10, 100}
    assert all(one.spent in (Decimal("0.52"), Decimal("2.52")) for one in found.values())


def test_an_alert_whose_task_was_lost_is_mailed_later(alice, used, in_alice):
    Budget.objects.filter(tenant=alice).update(daily=Decimal("0.60"))
    (first, *_) = tell_levels(tenant=alice)
    assert unmailed() == []

    BudgetAlert.objects.update(at=timezone.now() - timedelta(minutes=5))
    assert first.pk in unmailed()
    BudgetAlert.objects.update(at=timezone.now() - timedelta(days=2))
    assert unmailed() == []


def test_a_new_period_is_told_anew(alice, used, in_alice):
    Budget.objects.filter(tenant=alice).update(daily=Decimal("0.60"))
    tell_levels(tenant=alice)
    BudgetAlert.objects.update(begins=timezone.now().date() - timedelta(days=1))

    assert tell_levels(tenant=alice)
    assert BudgetAlert.objects.filter(period=Period.DAY).count() == 2


# --- plan ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def plan(providers, db):
    made = Plan.objects.create(name="Small", slug="small", amount=Decimal(49), currency="USD", trial_days=14, max_users=3)
    meter_minutes(made, included=40)
    make_prices(plan=made)
    return made


def test_from_the_plan_page_to_stripe_and_back(alice, owner, admin, visit, providers, plan):
    import requests

    client = visit(owner)
    assert "Start with Small" in client.get("/billing/plan/").content.decode()
    assert visit(admin).post("/billing/plan/small/subscribe/").status_code == 403

    away = client.post("/billing/plan/small/subscribe/")
    assert away.status_code == 303 and "/stripe/checkout/" in away["Location"]
    back = requests.post(away["Location"], data={"what": "pay"}, allow_redirects=False, timeout=10).headers["Location"]
    assert back.startswith("https://alice.test/billing/plan/?session=")
    assert client.get("/billing/plan/?" + back.partition("?")[2]).status_code == 302

    record_usage(tenant=alice, usages=[usage(quantity=Decimal(50), at=timezone.now() + timedelta(seconds=1))])
    page = client.get("/billing/plan/").content.decode()
    assert "Trial until" in page and "Your plan" in page and "SBX-0001" in page
    assert "10 beyond what is included" in page
    portal = client.post("/billing/plan/portal/")
    assert portal.status_code == 303 and "Your subscription" in requests.get(portal["Location"], timeout=10).text


def test_a_page_says_why_calls_are_not_answered(alice, owner, visit, plan):
    account = Account.objects.create(
        tenant=alice, plan=plan, status="canceled", customer_id="cus_1", subscription_id="sub_1"
    )
    client = visit(owner)
    assert "Calls are not answered" in client.get("/billing/plan/").content.decode()

    Account.objects.filter(pk=account.pk).update(status="past_due", past_due_since=timezone.now())
    assert "A payment has failed" in client.get("/billing/plan/").content.decode()


def test_without_stripe_the_page_says_so(alice, owner, visit):
    Plan.objects.create(name="Small", slug="small", amount=1, currency="USD")

    text = visit(owner).get("/billing/plan/").content.decode()
    answer = visit(owner).post("/billing/plan/small/subscribe/", follow=True)

    assert "no Stripe account is configured" in text
    assert answer.status_code == 200


def test_an_invoice_of_another_organisation_is_not_shown(alice, bob, owner, visit, plan):
    for tenant in (alice, bob):
        Account.objects.create(tenant=tenant, plan=plan, status="active")
        Invoice.objects.create(
            tenant=tenant,
            stripe_id=f"in_{tenant.pk}",
            number=f"NR-{tenant.name}",
            status="paid",
            currency="USD",
            total_minor=100,
            paid_minor=100,
            due_minor=0,
            created_at=timezone.now(),
        )

    text = visit(owner).get("/billing/plan/").content.decode()

    assert "NR-Alice" in text and "NR-Bob" not in text


# --- API -------------------------------------------------------------------------------------------------------------


def test_costs_through_the_api(alice, owner, stranger, member, visit, used):
    found = visit(owner).get("/api/v1/costs/").json()

    assert Decimal(found["total"]) == Decimal("0.52") and found["unknown"] == 1 and found["booked"] is None
    assert {row["key"] for row in found["rows"]["leg"]} == {"carrier", "email", "agent"}
    assert visit(member).get("/api/v1/costs/").status_code == 403
    assert visit(stranger).get("/api/v1/costs/").status_code in (403, 404)
    assert visit(owner).get("/api/v1/costs/?first=2026-01-01&end=2020-01-01").status_code == 400


def test_the_ledger_through_the_api(alice, owner, visit, used):
    found = visit(owner).get("/api/v1/ledger/").json()["results"]

    assert [row["key"] for row in found] == ["c", "b", "a"]
    assert [row["amount"] for row in found] == [None, "0.02000000", "0.50000000"]
    other = LedgerEntry.objects.get(key="z")
    assert visit(owner).get(f"/api/v1/ledger/{other.pk}/").status_code == 404
    assert visit(owner).get("/api/v1/ledger/?kind=email").json()["results"][0]["key"] == "b"


def test_a_budget_through_the_api(alice, bob, owner, member, visit, used):
    client = visit(owner)
    answer = client.patch("/api/v1/budget/", {"monthly": "1.00"}, content_type="application/json")

    assert answer.status_code == 200, answer.content
    assert answer.json()["standings"][0]["spent"] == "0.52000000"
    refused = client.patch("/api/v1/budget/", {"warning_percent": 20}, content_type="application/json")
    assert refused.status_code == 400
    assert visit(member).get("/api/v1/budget/").status_code == 403
    assert Budget.objects.get(tenant=bob).monthly is None


# --- storage ---------------------------------------------------------------------------------------------------------


def test_what_is_stored_is_measured_once_a_day(in_alice, bob, rate, line):
    from telephony.enums import RecordingStatus
    from telephony.models import Recording
    from telephony.tests.factories import make_finished_call

    rate("0.10", provider="installation", item="storage:recordings", unit="gigabyte-day")
    Recording.objects.create(
        call=make_finished_call(line), recording_sid="RE1", status=RecordingStatus.STORED, size_bytes=2_500_000_000
    )

    assert meter_storage(tenant=in_alice) == {f"storage:recordings:{timezone.now().date()}"}
    assert meter_storage(tenant=in_alice) == set()
    assert LedgerEntry.objects.get().amount == Decimal("0.25")
    with entered(bob):
        assert meter_storage(tenant=bob) == set()


# --- staff -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def staff(visit, owner):
    owner.is_staff = owner.is_superuser = True
    owner.save()
    return visit(owner, host="localhost")


@pytest.mark.parametrize(
    "model", ["rate", "plan", "account", "ledgerentry", "drift", "invoice", "meterevent", "stripeevent"]
)
def test_staff_see_everything_of_billing(staff, model, used):
    assert staff.get(f"/admin/billing/{model}/").status_code == 200


def test_staff_enter_a_rate_and_the_ledger_follows(alice, staff, used):
    form = {
        "provider": "deepgram",
        "item": "voice-agent",
        "unit": "minute",
        "price": "0.05",
        "per": "1",
        "currency": "USD",
        "valid_from_0": "2026-01-01",
        "valid_from_1": "00:00:00",
        "note": "the price list",
    }
    assert staff.post("/admin/billing/rate/add/", form).status_code == 302
    priced = LedgerEntry.objects.get(tenant=alice, corrects__key="c")
    assert priced.amount == Decimal("0.05")

    again = staff.post("/admin/billing/rate/add/", {**form, "price": "0.06", "valid_from_0": "2026-06-01"})
    assert again.status_code == 302
    assert Rate.objects.filter(provider="deepgram").count() == 2
    too_early = staff.post("/admin/billing/rate/add/", {**form, "valid_from_0": "2025-06-01"})
    assert too_early.status_code == 200 and b"later rate" in too_early.content
