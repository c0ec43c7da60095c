"""Calls that begin at once cannot spend the same money twice."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from billing.models import Budget, Reservation
from billing.services.ledger import record_usage
from billing.services.reserving import FREE, Admission, grow, release, reserve
from billing.tests.conftest import usage
from tenants.models import Tenant

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_without_limits_nothing_is_asked(alice, budget, django_assert_num_queries):
    free = budget()

    with django_assert_num_queries(0):
        assert reserve(tenant=alice, budget=free, subject="c", amount=Decimal(1)) is FREE
        assert reserve(tenant=alice, budget=None, subject="c", amount=Decimal(1)) is FREE


def test_a_reservation_takes_one_query(alice, budget):
    limited = budget(daily=Decimal(10))

    with CaptureQueriesContext(connection) as captured:
        assert reserve(tenant=alice, budget=limited, subject="c", amount=Decimal(1), now=NOW).admitted

    assert len(captured) == 1


def test_limits_that_were_lifted_since_they_were_read_do_not_count(alice, budget):
    limited = budget(daily=Decimal(0))
    budget(daily=None)

    assert reserve(tenant=alice, budget=limited, subject="c", amount=Decimal(1), now=NOW) == Admission(True, None)


def test_a_budget_that_is_gone_limits_nothing(alice, budget):
    limited = budget(daily=Decimal(1))
    Budget.objects.filter(tenant=alice).delete()

    assert reserve(tenant=alice, budget=limited, subject="c", amount=Decimal(5), now=NOW).admitted


def test_a_larger_transaction_is_as_durable_as_it_was(alice, budget):
    """Within the tests' own transaction the commit waits for the disk as before."""
    reserve(tenant=alice, budget=budget(daily=Decimal(1)), subject="c", amount=Decimal(0), now=NOW)

    with connection.cursor() as cursor:
        cursor.execute("SHOW synchronous_commit")
        assert cursor.fetchone() == ("on",)


@pytest.mark.parametrize(
    ("limits", "spent", "admitted"),
    [
        ({"daily": 10}, "8", True),
        ({"daily": 10}, "9", True),  # to the cent
        ({"daily": 10}, "9.01", False),
        ({"weekly": 10}, "9.01", False),
        ({"monthly": 10}, "9.01", False),
        ({"daily": 100, "monthly": 9}, "9", False),  # the tightest decides
        ({"daily": 0}, "0", False),
    ],
)
def test_the_tightest_limit_decides(alice, bob, rate, budget, limits, spent, admitted):
    rate("1")
    limited = budget(**{name: Decimal(value) for name, value in limits.items()})
    record_usage(tenant=alice, usages=[usage(quantity=Decimal(spent), at=NOW)])
    record_usage(tenant=bob, usages=[usage(quantity=Decimal(50), at=NOW)])  # nobody else's money counts

    assert reserve(tenant=alice, budget=limited, subject="c", amount=Decimal(1), now=NOW).admitted is admitted
    assert Reservation.objects.filter(tenant=alice).count() == int(admitted)


def test_what_was_spent_before_the_period_does_not_count(alice, rate, budget):
    rate("1")
    limited = budget(daily=Decimal(10), weekly=Decimal(20))
    record_usage(tenant=alice, usages=[usage(quantity=Decimal(9), at=datetime(2026, 11, 19, 12, tzinfo=UTC))])
    record_usage(tenant=alice, usages=[usage(quantity=Decimal(15), at=datetime(2026, 11, 15, 12, tzinfo=UTC))])  # a Sunday

    assert reserve(tenant=alice, budget=limited, subject="c", amount=Decimal(10), now=NOW).admitted


def test_what_is_set_aside_counts_until_it_is_given_back(alice, budget):
    limited = budget(daily=Decimal(10))
    assert reserve(tenant=alice, budget=limited, subject="first", amount=Decimal(6), now=NOW).admitted
    assert not reserve(tenant=alice, budget=limited, subject="second", amount=Decimal(6), now=NOW).admitted

    release(tenant=alice, subject="first")

    assert reserve(tenant=alice, budget=limited, subject="second", amount=Decimal(6), now=NOW).admitted


def test_the_same_call_again_sets_nothing_more_aside(alice, budget):
    limited = budget(daily=Decimal(10))

    for _ in range(3):
        assert reserve(tenant=alice, budget=limited, subject="c", amount=Decimal(6), now=NOW).admitted

    assert Reservation.objects.get().amount == Decimal(6)


def test_a_call_of_unknown_cost_needs_something_left(alice, rate, budget):
    rate("1")
    limited = budget(daily=Decimal(10))
    assert reserve(tenant=alice, budget=limited, subject="a", amount=None, now=NOW).admitted

    record_usage(tenant=alice, usages=[usage(quantity=Decimal(10), at=NOW)])

    assert not reserve(tenant=alice, budget=limited, subject="b", amount=None, now=NOW).admitted


def test_a_reservation_only_grows(alice, budget):
    reserve(tenant=alice, budget=budget(daily=Decimal(10)), subject="c", amount=Decimal(3), now=NOW)

    assert grow(tenant=alice, subject="c", amount=Decimal(2))
    assert Reservation.objects.get().amount == Decimal(3)
    assert grow(tenant=alice, subject="c", amount=Decimal(5))
    assert Reservation.objects.get().amount == Decimal(5)
    assert not grow(tenant=alice, subject="another", amount=Decimal(5))


def test_how_much_is_left(alice, budget):
    limited = budget(daily=Decimal(10), monthly=Decimal(5))

    first = reserve(tenant=alice, budget=limited, subject="a", amount=Decimal(4), now=NOW)
    second = reserve(tenant=alice, budget=limited, subject="b", amount=Decimal(1), now=NOW)

    assert first.share_left == 1
    assert second.share_left == Decimal("0.2")


def test_a_hundred_at_once_never_exceed_the_limit(db):
    """On connections of their own: what they see was committed, and is removed again."""
    ready = threading.Barrier(8)

    def make() -> tuple[Tenant, Budget]:
        tenant = Tenant.objects.create(schema_name="t_budget", name="Limited")
        return tenant, Budget.objects.create(tenant=tenant, currency="USD", daily=Decimal(10))

    def admit(number: int) -> bool:
        if number < 8:
            ready.wait(10)
        return reserve(tenant=tenant, budget=limited, subject=f"call-{number}", amount=Decimal("0.7")).admitted

    with ThreadPoolExecutor(8) as pool:
        tenant, limited = pool.submit(_apart, make).result()
        try:
            admitted = list(pool.map(lambda number: _apart(lambda: admit(number)), range(100)))
            held = pool.submit(_apart, lambda: Reservation.objects.filter(tenant=tenant).count()).result()
        finally:
            pool.submit(_apart, lambda: Tenant.objects.filter(pk=tenant.pk).delete()).result()

    assert sum(admitted) == held == 14  # 14 × 0.7 = 9.8


def _apart(work):
    try:
        return work()
    finally:
        connections.close_all()


def test_days_are_counted_from_the_organisation_s_midnight(alice, rate, budget):
    Tenant.objects.filter(pk=alice.pk).update(time_zone="America/Los_Angeles")
    alice.refresh_from_db()
    rate("1")
    limited = budget(daily=Decimal(10))
    record_usage(
        tenant=alice, usages=[usage(quantity=Decimal(10), at=datetime(2026, 11, 20, 7, tzinfo=UTC))]
    )  # the 19th there

    assert reserve(tenant=alice, budget=limited, subject="c", amount=Decimal(1), now=NOW).admitted
    assert date(2026, 11, 20) == NOW.date()
