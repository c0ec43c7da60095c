"""Each use once, priced by its time, added up by PostgreSQL, and never changed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models import Sum
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from billing import tallies
from billing.models import DayTotal, LedgerEntry, Rate, Tally
from billing.services.ledger import correct, costs_of, price_unknown, record_usage
from billing.services.rates import RateError, set_rate
from billing.tests.conftest import usage
from tenants.models import Tenant


def amounts(tenant: Tenant) -> Decimal:
    return Tally.objects.filter(tenant=tenant).aggregate(sum=Sum("amount"))["sum"]


def test_a_use_is_priced_and_added_up(alice, bob, rate):
    rate("0.0085")

    new = record_usage(tenant=alice, usages=[usage(key="a", quantity=Decimal(3)), usage(key="b")])

    assert new == {"a", "b"}
    assert amounts(alice) == Decimal("0.0340")
    assert not Tally.objects.filter(tenant=bob).exists()


def test_the_same_use_twice_is_there_once(alice, rate):
    rate()
    record_usage(tenant=alice, usages=[usage(key="a")])

    assert record_usage(tenant=alice, usages=[usage(key="a"), usage(key="b")]) == {"b"}
    assert LedgerEntry.objects.count() == 2
    assert tallies.differences() == []


def test_two_organisations_may_use_the_same_key(alice, bob, rate):
    rate()

    assert record_usage(tenant=alice, usages=[usage(key="a")]) == {"a"}
    assert record_usage(tenant=bob, usages=[usage(key="a")]) == {"a"}
    assert amounts(alice) == amounts(bob) == Decimal("0.0085")


def test_without_a_rate_the_amount_is_unknown_and_not_nothing(alice):
    record_usage(tenant=alice, usages=[usage(key="a")])

    entry = LedgerEntry.objects.get()
    assert entry.amount is None and entry.unknown == 1
    assert Tally.objects.get().unknown == 1


def test_a_quantity_nobody_reported_is_unknown(alice, rate):
    rate()
    record_usage(tenant=alice, usages=[usage(key="a", quantity=None)])

    assert LedgerEntry.objects.get().amount is None


def test_the_rate_that_held_then_counts(alice, rate):
    change = datetime(2026, 11, 1, tzinfo=UTC)
    rate("0.01", valid_to=change)
    rate("0.02", valid_from=change)

    before, at, after = (usage(at=change + timedelta(seconds=s)) for s in (-1, 0, 1))

    assert [cost.amount for cost in costs_of([before, at, after])] == [Decimal("0.01"), Decimal("0.02"), Decimal("0.02")]


@pytest.mark.parametrize("change", ["UPDATE billing_ledgerentry SET amount = 0", "DELETE FROM billing_ledgerentry"])
def test_the_database_refuses_to_change_the_ledger(alice, rate, change):
    from django.db import connection

    rate()
    record_usage(tenant=alice, usages=[usage(key="a")])

    with pytest.raises(DatabaseError, match="only ever added"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(change)


def test_a_correction_is_an_entry_of_its_own(alice, rate):
    rate("0.01")
    record_usage(tenant=alice, usages=[usage(key="a", quantity=Decimal(2))])
    entry = LedgerEntry.objects.get()

    assert correct(entry=entry, key="a:again", quantity=Decimal(-1), amount=Decimal("-0.01"))
    assert not correct(entry=entry, key="a:again", quantity=Decimal(-1), amount=Decimal("-0.01"))

    correction = LedgerEntry.objects.exclude(pk=entry.pk).get()
    assert correction.corrects == entry and correction.source == "correction"
    assert amounts(alice) == Decimal("0.01")


def test_a_later_rate_prices_what_waited_for_one(alice, bob):
    record_usage(tenant=alice, usages=[usage(key="a", quantity=Decimal(2))])
    record_usage(tenant=bob, usages=[usage(key="b")])

    set_rate(
        provider="twilio",
        item="voice-inbound",
        unit="minute",
        price=Decimal("0.01"),
        currency="USD",
        valid_from=datetime(2026, 1, 1, tzinfo=UTC),
    )

    assert amounts(alice) == Decimal("0.02")
    assert Tally.objects.filter(tenant=alice).aggregate(n=Sum("unknown"))["n"] == 0
    assert price_unknown(provider="twilio", item="voice-inbound") == 0
    assert tallies.differences() == []


def test_a_new_rate_ends_the_one_before_and_keeps_it(rate):
    old = rate("0.01")
    begins = datetime(2026, 6, 1, tzinfo=UTC)

    new = set_rate(
        provider="twilio", item="voice-inbound", unit="minute", price=Decimal("0.02"), currency="USD", valid_from=begins
    )

    old.refresh_from_db()
    assert old.valid_to == new.valid_from == begins and old.price == Decimal("0.01")
    with pytest.raises(RateError):
        set_rate(
            provider="twilio",
            item="voice-inbound",
            unit="minute",
            price=Decimal("0.03"),
            currency="USD",
            valid_from=begins - timedelta(days=1),
        )
    assert Rate.objects.count() == 2


def test_a_day_is_the_organisation_s_own(alice, rate):
    rate()
    Tenant.objects.filter(pk=alice.pk).update(time_zone="Pacific/Auckland")
    alice.refresh_from_db()

    record_usage(tenant=alice, usages=[usage(key="a", at=datetime(2026, 11, 20, 12, tzinfo=UTC))])

    assert LedgerEntry.objects.get().day == date(2026, 11, 21)


def test_folding_sums_together_changes_none(alice, bob, rate):
    rate()
    for number in range(5):
        record_usage(tenant=alice, usages=[usage(key=f"a{number}"), usage(key=f"line{number}", line_id=7)])
    record_usage(tenant=bob, usages=[usage(key="b")])
    before = amounts(alice), amounts(bob)

    assert tallies.compact() == 8 + 4  # rows of both kinds of sums
    assert (amounts(alice), amounts(bob)) == before
    assert Tally.objects.filter(tenant=alice).count() == 2
    assert tallies.differences() == []
    assert tallies.compact() == 0


def test_a_sum_that_is_not_the_ledger_s_is_found(alice, rate):
    rate()
    record_usage(tenant=alice, usages=[usage(key="a")])
    Tally.objects.update(amount=Decimal(5))

    assert tallies.differences() == [(alice.pk, date(2026, 11, 20), "twilio voice-inbound")]


@pytest.mark.parametrize("change", [{"amount": Decimal(5)}, {"currency": "EUR"}, None])
def test_a_day_that_is_not_the_ledger_s_is_found(alice, bob, rate, change):
    rate()
    for tenant in (alice, bob):
        record_usage(tenant=tenant, usages=[usage()])
    his = DayTotal.objects.filter(tenant=bob)
    if change is None:
        his.delete()
    else:
        his.update(**change)

    found = tallies.differences()

    assert {tenant_id for tenant_id, _, _ in found} == {bob.pk}
    assert all(about.startswith("the whole day") for _, _, about in found)


def test_a_ledger_from_before_there_were_sums_by_day_gets_them(alice, bob, rate):
    rate()
    record_usage(tenant=alice, usages=[usage(), usage(at=datetime(2026, 11, 21, 12, tzinfo=UTC))])
    record_usage(tenant=bob, usages=[usage(quantity=Decimal(7))])
    DayTotal.objects.all().delete()

    with connection.cursor() as cursor:
        cursor.execute(tallies.ADD_DAY_TOTALS)
    record_usage(tenant=alice, usages=[usage()])

    assert tallies.differences() == []
    by_day = DayTotal.objects.filter(tenant=alice).values_list("day").annotate(sum=Sum("amount")).order_by("day")
    assert [(day.day, amount) for day, amount in by_day] == [(20, Decimal("0.017")), (21, Decimal("0.0085"))]


class Sums(TestCase):
    """Whatever is written in whatever pieces, the sums are the ledger's."""

    @examples(max_examples=15)
    @given(
        st.lists(
            st.tuples(
                st.integers(0, 30),
                st.decimals(min_value=0, max_value=1000, places=6) | st.none(),
                st.sampled_from(["voice-inbound", "media-stream"]),
            ),
            max_size=25,
        ),
        st.integers(1, 7),
    )
    def test_of_what_was_written(self, written, size):
        tenant = Tenant.objects.get(domains__domain="alice.test")
        Rate.objects.create(
            provider="twilio",
            item="voice-inbound",
            unit="minute",
            currency="USD",
            price=Decimal("0.0123"),
            valid_from=datetime(2026, 1, 1, tzinfo=UTC),
        )
        usages = [usage(key=f"k{number}", quantity=quantity, item=item) for number, quantity, item in written]
        for start in range(0, len(usages), size):
            record_usage(tenant=tenant, usages=usages[start : start + size])

        first = {use.key: use for use in reversed(usages)}.values()
        expected = sum((cost.amount for cost in costs_of(list(first)) if cost.amount is not None), Decimal(0))
        assert (amounts(tenant) or 0) == expected
        assert LedgerEntry.objects.count() == len(first)
        assert tallies.differences() == []
