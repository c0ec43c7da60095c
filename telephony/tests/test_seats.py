from concurrent.futures import ThreadPoolExecutor

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from telephony.services import seats
from telephony.services.seats import Seat, free_seat, seats_taken, take_seat
from telephony.tests.factories import make_call


def take(sid, schema="t_a", limit=50):
    return take_seat(schema=schema, call_sid=sid, tenant_limit=limit)


def test_sixty_calls_at_once_on_a_limit_of_fifty():
    with ThreadPoolExecutor(20) as pool:
        results = list(pool.map(lambda number: take(f"CA{number}"), range(60)))

    assert results.count(Seat.TAKEN) == 50
    assert results.count(Seat.TENANT_FULL) == 10
    assert seats_taken("t_a") == 50


def test_one_tenant_does_not_fill_anothers_seats():
    take("CA1", limit=1)

    assert take("CA2", limit=1) is Seat.TENANT_FULL
    assert take("CA3", "t_b", limit=1) is Seat.TAKEN


def test_the_installation_has_a_limit_of_its_own(settings, monkeypatch):
    monkeypatch.setattr(settings.ENV, "max_concurrent_calls", 2)

    assert [take(f"CA{n}", f"t_{n}") for n in range(3)] == [Seat.TAKEN, Seat.TAKEN, Seat.INSTALLATION_FULL]


def test_a_freed_seat_can_be_taken_again():
    take("CA1", limit=1)
    free_seat(schema="t_a", call_sid="CA1")
    free_seat(schema="t_a", call_sid="CA1")

    assert take("CA2", limit=1) is Seat.TAKEN


def test_the_same_call_holds_one_seat():
    assert [take("CA1", limit=1), take("CA1", limit=1)] == [Seat.TAKEN, Seat.HELD_ALREADY]


def test_a_seat_nobody_freed_lapses(monkeypatch):
    take("CA1", limit=1)
    monkeypatch.setattr(seats, "LAPSE_S", -1)

    assert take("CA2", limit=1) is Seat.TAKEN


@pytest.fixture
def redis_away(monkeypatch):
    class Away:
        def __getattr__(self, name):
            raise RedisConnectionError("away")

    monkeypatch.setattr(seats, "sync_client", Away)


def test_without_redis_the_tenants_own_calls_are_counted(redis_away, in_alice):
    make_call()

    assert take("CA1", limit=2) is Seat.TAKEN
    assert take("CA1", limit=1) is Seat.TENANT_FULL
    assert seats_taken("t_a") is None
    free_seat(schema="t_a", call_sid="CA1")
