"""How much is let through, of whom, and when to come back."""

import pytest
import redis
from rest_framework.settings import api_settings
from rest_framework.throttling import BaseThrottle

from tenants import throttling
from tenants.enums import Role
from tenants.models import Membership
from tenants.services.tokens import create_token
from tenants.throttling import PrincipalThrottle, SlidingThrottle, parse_rate

CALLS = "/api/v1/calls/"


@pytest.fixture
def rates(monkeypatch):
    def limit(**values):
        monkeypatch.setattr(api_settings, "DEFAULT_THROTTLE_RATES", {"token": "60/min", **values}, raising=False)

    return limit


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1_000_020.0  # the first second of a minute

    monkeypatch.setattr(SlidingThrottle, "now", lambda throttle: Clock.now)
    return Clock


def codes(client, times, **more):
    return [client.get(CALLS, **more).status_code for _ in range(times)]


@pytest.mark.parametrize(
    ("rate", "parsed"), [("600/min", (600, 60)), ("5/s", (5, 1)), ("10/hour", (10, 3600)), ("1/day", (1, 86_400))]
)
def test_rates(rate, parsed):
    assert parse_rate(rate) == parsed


def test_over_the_rate_is_refused_with_the_time_to_come_back(visit, owner, rates, clock):
    rates(principal="3/min")
    session = visit(owner)

    assert codes(session, 4) == [200, 200, 200, 429]

    refusal = session.get(CALLS)
    wait = int(refusal["Retry-After"])
    assert 60 < wait <= 100
    clock.now += wait
    assert session.get(CALLS).status_code == 200


def test_the_window_slides(visit, owner, rates, clock):
    rates(principal="10/min")
    session = visit(owner)
    clock.now += 59
    assert codes(session, 10) == [200] * 10

    clock.now += 2  # a second into the next minute: nearly all of the last one still counts
    assert codes(session, 1) == [429]
    clock.now += 29  # half of it
    assert codes(session, 6) == [200] * 5 + [429]


def test_when_to_come_back_is_right_for_what_the_last_window_left(visit, owner, rates, clock):
    rates(principal="10/min")
    session = visit(owner)
    codes(session, 10)
    clock.now += 60

    wait = int(session.get(CALLS)["Retry-After"])

    assert wait == 6  # a tenth of a minute for one of ten
    clock.now += wait
    assert session.get(CALLS).status_code == 200


def test_what_was_refused_does_not_count(visit, owner, rates, clock):
    rates(principal="2/min")
    session = visit(owner)
    codes(session, 50)

    clock.now += 121

    assert codes(session, 2) == [200, 200]


def test_each_token_and_person_has_its_own_count(visit, alice, owner, admin, rates):
    rates(principal="1/min")
    actor = Membership.objects.get(tenant=alice, user=owner)
    texts = [create_token(tenant=alice, name="T", scopes=["calls:read"], actor=actor)[1] for _ in range(2)]

    assert codes(visit(owner), 2) == [200, 429]
    assert codes(visit(admin), 2) == [200, 429]
    for text in texts:
        assert codes(visit(), 2, headers={"authorization": f"Bearer {text}"}) == [200, 429]


def test_a_person_in_two_organisations_is_counted_in_each(visit, bob, owner, rates):
    rates(principal="1/min")
    Membership.objects.create(tenant=bob, user=owner, role=Role.OWNER)

    assert codes(visit(owner), 2) == [200, 429]
    assert codes(visit(owner, host="bob.test"), 2) == [200, 429]


def test_an_organisation_has_a_count_of_its_own(visit, owner, admin, stranger, rates):
    rates(tenant="2/min")

    assert codes(visit(owner), 1) + codes(visit(admin), 2) == [200, 200, 429]
    assert codes(visit(stranger, host="bob.test"), 1) == [200]


def test_outsiders_do_not_use_up_what_is_the_organisations(visit, owner, rates):
    rates(tenant="1/min", principal="2/min")
    refresh = [
        visit().post("/api/v1/token/refresh/", {"refresh": "x"}, content_type="application/json").status_code
        for _ in range(3)
    ]

    assert refresh == [401, 401, 429]  # counted by address
    assert codes(visit(owner), 1) == [200]


def test_without_a_rate_there_is_no_limit(visit, owner, rates):
    rates(principal=None)

    assert codes(visit(owner), 5) == [200] * 5


def test_every_default_throttle_has_a_rate():
    classes = api_settings.DEFAULT_THROTTLE_CLASSES

    assert PrincipalThrottle in classes
    assert all(issubclass(throttle, BaseThrottle) for throttle in classes)
    assert {throttle.scope for throttle in classes} <= set(api_settings.DEFAULT_THROTTLE_RATES)


def test_without_redis_nobody_is_locked_out(visit, owner, rates, monkeypatch, unused_port, caplog):
    rates(principal="1/min")
    away = redis.Redis(port=unused_port)
    monkeypatch.setattr(throttling, "_redis", lambda: away)

    assert codes(visit(owner), 2) == [200, 200]
    assert "Redis is away" in caplog.text
    away.close()
