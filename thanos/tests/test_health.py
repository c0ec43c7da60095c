"""Alive, healthy, measured: who may ask, what is told, and that asking costs nothing."""

from __future__ import annotations

import copy
import json
import re
import threading
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
from django.db import OperationalError, connection
from django.test import Client
from kombu.exceptions import OperationalError as BrokerError

from telephony.workers import worker
from tenants.backend.base import DatabaseWrapper, as_a_page
from thanos import health, heartbeat
from thanos.celery import app
from thanos.env import BASE_DIR
from thanos.pool import STUCK_AFTER_S, PoolWatch, watch

NEAR = {"host": "localhost:8000"}


@pytest.fixture(autouse=True)
def _nothing_kept():
    health.looked.forget()
    health.measured.forget()
    yield
    health.looked.forget()
    health.measured.forget()


@pytest.fixture
def near() -> Client:
    return Client(headers=NEAR)


@pytest.mark.parametrize("host", ["alice.test", "nobody.test", "10.0.0.1"])
def test_alive_on_any_host_without_the_database(host):
    response = Client(headers={"host": host}).get("/health")

    assert (response.status_code, response.content) == (200, b"ok")


def test_a_draining_worker_is_not_ready(monkeypatch):
    monkeypatch.setattr(worker, "is_draining", True)

    assert Client().get("/health").status_code == 503


def test_every_dependency_is_reported(db, near):
    response = near.get("/health/detailed")
    states = {name: item["state"] for name, item in json.loads(response.content)["dependencies"].items()}

    assert response.status_code == 200
    assert states == {
        "postgresql": "ok",
        "redis": "ok",
        "workers": "no worker answers",
        "voice_agent": "ok",
        "carrier": "ok",
    }


def test_without_a_voice_provider_a_call_cannot_be_answered(db, near, settings, monkeypatch):
    monkeypatch.setattr(settings.ENV, "deepgram_api_key", "")

    response = near.get("/health/detailed")

    assert response.status_code == 503
    assert b"DEEPGRAM_API_KEY" in response.content


def test_metrics_leave_out_what_is_unknown(near, monkeypatch):
    assert b"thanos_transcript_entries_waiting 0.0" in near.get("/metrics").content

    health.measured.forget()
    monkeypatch.setattr(health, "reports", lambda: None)
    content = near.get("/metrics").content
    assert b"thanos_media_sockets" not in content
    assert b"thanos_background_workers" not in content
    assert b"thanos_draining 0.0" in content


# --- who may ask ------------------------------------------------------------------------------------------------------

TOLD = [("/health/detailed", "health_token"), ("/metrics", "metrics_token")]


@pytest.mark.parametrize(("path", "token"), TOLD)
@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ({"host": "alice.test"}, "127.0.0.1"),  # the proxy of this machine, which adds nothing
        ({"host": "calls.example"}, "127.0.0.1"),
        ({**NEAR, "x-forwarded-for": "127.0.0.1"}, "127.0.0.1"),
        ({**NEAR, "x-forwarded-proto": "https"}, "127.0.0.1"),
        ({**NEAR, "forwarded": "for=1.2.3.4"}, "127.0.0.1"),
        ({**NEAR, "via": "1.1 proxy"}, "::1"),
        (NEAR, "203.0.113.9"),
        (NEAR, "10.1.2.3"),
        (NEAR, ""),
        ({**NEAR, "authorization": "Bearer "}, "203.0.113.9"),
        ({**NEAR, "authorization": "Bearer wrong"}, "203.0.113.9"),
        ({**NEAR, "authorization": "Basic s3cret"}, "203.0.113.9"),
    ],
)
def test_strangers_are_told_nothing(db, settings, monkeypatch, path, token, headers, address):
    for secret in ("", "s3cret"):
        monkeypatch.setattr(settings.ENV, token, secret)

        response = Client(headers=headers, REMOTE_ADDR=address).get(path)

        assert response.status_code == 401
        assert b"dependencies" not in response.content and b"thanos_" not in response.content


@pytest.mark.parametrize(("path", "token"), TOLD)
@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_this_machine_may_ask_without_a_token(db, path, token, address):
    assert Client(headers=NEAR, REMOTE_ADDR=address).get(path).status_code == 200


@pytest.mark.parametrize(("path", "token"), TOLD)
def test_on_a_local_installation_any_host_may_be_asked_for(db, settings, path, token):
    settings.PUBLIC_URL = "http://127.0.0.1:8000"

    assert Client(headers={"host": "demo.localhost:8000"}).get(path).status_code == 200


@pytest.mark.parametrize(("path", "token"), TOLD)
def test_a_token_or_a_network_lets_others_ask(db, settings, monkeypatch, path, token):
    monkeypatch.setattr(settings.ENV, token, "s3cret")
    far = {"host": "alice.test", "x-forwarded-for": "203.0.113.9"}
    assert Client(headers={**far, "authorization": "Bearer s3cret"}, REMOTE_ADDR="9.9.9.9").get(path).status_code == 200
    assert Client(headers={"host": "web-1"}, REMOTE_ADDR="10.1.2.3").get(path).status_code == 401

    monkeypatch.setattr(settings.ENV, "health_networks", ["10.1.0.0/16"])
    assert Client(headers={"host": "web-1"}, REMOTE_ADDR="10.1.2.3").get(path).status_code == 200


@pytest.mark.parametrize("path", ["/health", "/health/detailed", "/metrics"])
@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_they_can_only_be_read(db, near, path, method):
    assert getattr(near, method)(path).status_code == 405
    assert near.head(path).status_code == 200


# --- that asking costs nothing ----------------------------------------------------------------------------------------


def test_a_hundred_at_once_are_one_look(monkeypatch):
    looks, together = [], threading.Barrier(100)

    def look() -> str:
        looks.append(1)
        time.sleep(0.3)
        return "seen"

    kept, found = health.Kept(look), []

    def ask() -> None:
        together.wait()
        found.append(kept.get())

    threads = [threading.Thread(target=ask) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(looks), set(found)) == (1, {"seen"})


def test_an_old_answer_is_given_while_the_next_look_takes_its_time(monkeypatch):
    monkeypatch.setattr(health, "KEEP_S", 0.0)
    answers = iter(["first", "second"])
    going_on, go = threading.Event(), threading.Event()

    def look() -> str:
        answer = next(answers)
        if answer == "second":
            going_on.set()
            go.wait(5)
        return answer

    kept = health.Kept(look)
    assert kept.get() == "first"
    slow = threading.Thread(target=kept.get)
    slow.start()
    going_on.wait(5)

    assert kept.get() == "first"
    go.set()
    slow.join()


@pytest.mark.parametrize("pattern", [r"control\.(inspect|ping|broadcast)", r"\.ping\(.*timeout"])
def test_no_request_asks_a_worker_and_waits(pattern):
    found = [
        str(path)
        for room in ("agents", "base", "billing", "crm", "telephony", "tenants", "thanos")
        for path in (Path(BASE_DIR) / room).rglob("*.py")
        if "tests" not in path.parts and re.search(pattern, path.read_text())
    ]

    assert found == []


def test_background_workers_are_known_by_what_they_write_down():
    assert heartbeat.workers() == {}

    heartbeat.report("worker@here", ["default", "bulk"])
    heartbeat.report("agents@here", ["agents"])
    heartbeat.report("worker@here", ["default", "bulk"])

    assert heartbeat.workers() == {"worker@here": ["bulk", "default"], "agents@here": ["agents"]}
    heartbeat.take_back("worker@here", ["bulk", "default"])
    assert list(heartbeat.workers()) == ["agents@here"]


def test_a_worker_that_says_nothing_more_is_gone(monkeypatch):
    heartbeat.report("worker@here", ["default"])
    monkeypatch.setattr(heartbeat.time, "time", lambda now=time.time: now() + heartbeat.LAPSE_S + 1)

    assert heartbeat.workers() == {}


# --- pools ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool_name", ["producers", "connections"])
def test_who_queues_a_task_does_not_wait_for_ever(pool_name):
    """All connections held, with producers free, was how forty requests ended a process."""
    pool = {"producers": app.producer_pool, "connections": app.producer_pool.connections}[pool_name]
    taken = []
    while len(taken) < pool.limit:
        taken.append(pool.acquire(block=True, timeout=2))
    begun = time.monotonic()
    try:
        with pytest.raises(BrokerError), app.producer_or_acquire(None):
            raise AssertionError("there was none left")
    finally:
        for resource in taken:
            resource.release()

    assert time.monotonic() - begun < 5


@pytest.fixture
def pooled(db):
    """Return a way to make connections like a web process's: a pool of four, half a second to wait."""
    chosen = copy.deepcopy(connection.settings_dict)
    chosen["OPTIONS"]["pool"] = {"min_size": 1, "max_size": 4, "timeout": 0.5}
    chosen["LIMITS"] = {"statement_timeout": "700ms"}
    yield lambda: DatabaseWrapper(copy.deepcopy(chosen), alias="pooled")
    DatabaseWrapper(chosen, alias="pooled").close_pool()


def _hold(pooled, count: int, *, as_page: bool):
    """Take connections in threads of their own until told to let go; return how many got one, and how to let go."""
    go, results = threading.Event(), []
    ready = threading.Barrier(count + 1)

    def hold() -> None:
        wrapper = pooled()
        try:
            with as_a_page() if as_page else nullcontext():
                wrapper.ensure_connection()
            results.append(True)
        except OperationalError:
            results.append(False)
        ready.wait(10)
        go.wait(10)
        wrapper.close()

    threads = [threading.Thread(target=hold) for _ in range(count)]
    for thread in threads:
        thread.start()
    ready.wait(10)

    def let_go() -> None:
        go.set()
        for thread in threads:
            thread.join()

    return results.count(True), let_go


def test_pages_leave_connections_for_webhooks_and_calls(pooled):
    pages, let_pages_go = _hold(pooled, 6, as_page=True)
    calls, let_calls_go = _hold(pooled, 1, as_page=False)
    let_pages_go()
    let_calls_go()

    assert (pages, calls) == (3, 1)
    again, let_go = _hold(pooled, 3, as_page=True)
    let_go()
    assert again == 3, "what was let go can be taken again"


def test_waiting_for_a_connection_and_for_a_statement_has_an_end(pooled):
    wrapper = pooled()
    with pytest.raises(OperationalError, match="statement timeout"), wrapper.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(5)")
    wrapper.close()
    held, let_go = _hold(pooled, 4, as_page=False)
    begun = time.monotonic()
    with pytest.raises(OperationalError):
        wrapper.ensure_connection()
    let_go()

    assert held == 4
    assert time.monotonic() - begun < 2


def test_a_pool_that_gives_nothing_for_long_is_told_by_health(pooled, monkeypatch):
    found = PoolWatch(pooled())
    monkeypatch.setattr(health, "watch", found)
    _, let_go = _hold(pooled, 4, as_page=False)
    found.look(0.0)
    assert Client().get("/health").status_code == 200, "it may be a moment's rush"
    found.look(STUCK_AFTER_S + 1)
    response = Client().get("/health")
    let_go()

    assert (response.status_code, response.content[:5]) == (503, b"stuck")
    found.look(STUCK_AFTER_S + 2)
    assert Client().get("/health").status_code == 200


def test_a_database_that_is_away_is_not_taken_for_a_stuck_process(pooled, monkeypatch):
    """Running calls outlive it, and would not outlive their process being started again."""
    found = PoolWatch(pooled())
    monkeypatch.setattr(found, "_pool_gives", lambda: False)
    monkeypatch.setattr("thanos.pool._address", lambda: {"host": "127.0.0.1", "port": "1"})
    found.look(0.0)
    found.look(STUCK_AFTER_S + 1)

    assert not found.is_stuck
    assert not watch.is_stuck
