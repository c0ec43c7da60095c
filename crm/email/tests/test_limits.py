from __future__ import annotations

import pytest
import redis

from crm.email.models.setup import email_settings
from crm.email.services import limits
from crm.email.services.limits import Grant, give_back, one_at_a_time, rest, take
from tenants.context import entered


def allow(settings, monkeypatch, *, tenant: int, everybody: int = 60_000) -> None:
    monkeypatch.setattr(settings.ENV, "emails_per_minute", everybody)
    chosen = email_settings()
    chosen.messages_per_minute = tenant
    chosen.save()


def test_a_bucket_holds_twenty_seconds_and_fills_again(in_alice, settings, monkeypatch):
    allow(settings, monkeypatch, tenant=300)  # 5 a second: the bucket holds 100

    assert take(60, now=1000.0) == Grant(60)
    assert take(60, now=1000.0) == Grant(0, 4.0)  # 40 are there, and 20 are missing
    assert take(60, now=1003.9).count == 0
    assert take(60, now=1004.0) == Grant(60)


def test_more_than_a_bucket_full_is_a_bucket_full(in_alice, settings, monkeypatch):
    allow(settings, monkeypatch, tenant=300)

    assert take(1000, now=1000.0) == Grant(100)
    assert take(1000, now=1010.0) == Grant(0, 10.0)  # rather all at once later than a trickle now
    assert take(1000, now=1020.0) == Grant(100)
    assert take(5, now=5000.0).count == 5
    assert take(1000, now=5000.0).count == 0  # it does not overflow


def test_the_slowest_rate_lets_one_go(in_alice, settings, monkeypatch):
    allow(settings, monkeypatch, tenant=1)

    assert take(1, now=1000.0) == Grant(1)
    assert take(1, now=1000.0) == Grant(0, 60.0)


def test_one_organisation_does_not_use_up_anothers(in_alice, bob, settings, monkeypatch):
    allow(settings, monkeypatch, tenant=60)

    assert take(20, now=1000.0).count == 20
    assert take(1, now=1000.0).count == 0
    with entered(bob):
        assert take(20, now=1000.0).count == 20


def test_all_together_have_a_limit_too(in_alice, bob, settings, monkeypatch):
    allow(settings, monkeypatch, tenant=6000, everybody=60)

    assert take(20, now=1000.0).count == 20
    with entered(bob):
        assert take(20, now=1000.0) == Grant(0, 20.0)
        assert take(20, now=1020.0).count == 20


def test_what_is_refused_by_one_bucket_is_not_taken_from_the_other(in_alice, bob, settings, monkeypatch):
    allow(settings, monkeypatch, tenant=30, everybody=60)

    assert [take(10, now=1000.0).count for _ in range(5)] == [10, 0, 0, 0, 0]
    with entered(bob):
        assert take(10, now=1000.0).count == 10


def test_what_was_not_used_is_there_again(in_alice, settings, monkeypatch):
    allow(settings, monkeypatch, tenant=300)
    take(100, now=1000.0)

    give_back(30)
    give_back(0)

    assert take(30, now=1000.0).count == 30
    assert take(1, now=1000.0).count == 0


def test_nobody_sends_while_the_provider_wants_rest(in_alice, bob):
    rest(15, now=1000.0)

    assert take(1, now=1005.0) == Grant(0, 10.0)
    with entered(bob):
        assert take(1, now=1005.0).count == 0
    assert take(1, now=1015.1).count == 1


def test_time_is_rediss_own_unless_told(in_alice):
    assert take(1).count == 1
    rest(100)
    waiting = take(1)
    assert waiting.count == 0 and 95 < waiting.wait_s <= 100


def test_one_at_a_time_in_each_organisation(in_alice, bob):
    with one_at_a_time("mailing:1") as first, one_at_a_time("mailing:1") as second, one_at_a_time("mailing:2") as other:
        assert (first, second, other) == (True, False, True)
        with entered(bob), one_at_a_time("mailing:1") as theirs:
            assert theirs
    with one_at_a_time("mailing:1") as again:
        assert again


def test_a_turn_that_ran_out_does_not_end_the_next_ones(in_alice):
    with one_at_a_time("x") as first:
        assert first
        limits._redis().flushdb()  # its time is over
        with one_at_a_time("x") as second:
            assert second
            with one_at_a_time("x") as third:
                assert not third
    with one_at_a_time("x") as later:
        assert later


def test_without_redis_nothing_goes(in_alice, monkeypatch):
    away = redis.Redis(host="127.0.0.1", port=1, socket_connect_timeout=0.2)
    monkeypatch.setattr(limits, "_redis", lambda: away)

    with pytest.raises(redis.RedisError):
        take(1)
