"""Use, reported to Stripe by the ledger's key exactly once, compared, and what is kept of invoices."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core import mail
from django.utils import timezone

from billing.enums import MeterState
from billing.models import Account, Drift, Invoice, LedgerEntry, MeterEvent, StripeEvent
from billing.receivers import export_ledger, forget_events
from billing.services import reporting
from billing.services.ledger import correct, record_usage
from billing.services.reconciling import tell_staff
from billing.services.syncing import sync_account, sync_invoices
from billing.stripe.client import StripeError, installation_client
from billing.tests.conftest import usage
from billing.tests.stripe import take_news, the_subscription
from tenants.context import entered

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
