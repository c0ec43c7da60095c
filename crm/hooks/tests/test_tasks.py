"""The way from an event to the receiver through tasks, and what the sweeps find."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerError

from crm.hooks import tasks
from crm.hooks.enums import DeliveryState, Event
from crm.hooks.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from crm.hooks.services import sweeping
from crm.hooks.services.emitting import emit
from crm.hooks.tests.factories import make_delivery, make_endpoint
from tenants.celery import HEADER
from tenants.context import entered


@pytest.fixture
def published(monkeypatch):
    found = []

    def note(kwargs, countdown, headers):
        found.append(((headers or {}).get(HEADER), kwargs["endpoint_id"], countdown))

    monkeypatch.setattr(tasks.deliver, "apply_async", note)
    return found


def test_from_the_event_to_the_receiver(alice, endpoint, receiver, published, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        emit(event=Event.CALL_FINISHED, data={"id": "call-1"})
    ((_, endpoint_id, _),) = published

    tasks.deliver.apply(kwargs={"endpoint_id": endpoint_id}, throw=True)
    tasks.deliver.apply(kwargs={"endpoint_id": endpoint_id}, throw=True)

    (got,) = receiver.received
    assert got.headers["Webhook-Event"] == "call.finished"
    assert WebhookDelivery.objects.get().state == DeliveryState.DELIVERED


def test_a_broker_that_is_away_undoes_nothing_and_the_sweep_finds_it(
    alice, endpoint, monkeypatch, django_capture_on_commit_callbacks
):
    def away(**_):
        raise BrokerError("away")

    monkeypatch.setattr(tasks.deliver, "apply_async", away)
    with django_capture_on_commit_callbacks(execute=True):
        emit(event=Event.CALL_FINISHED, data={})

    assert sweeping.receivers_with_due() == [endpoint.pk]


def test_the_sweep_goes_through_every_tenant(alice, bob, endpoint, bobs, published):
    make_delivery(endpoint)
    make_delivery(endpoint)
    with entered(bob):
        make_delivery(bobs)

    tasks.sweep_due.apply(throw=True)

    assert sorted(published) == sorted([(alice.schema_name, str(endpoint.pk), 0), (bob.schema_name, str(bobs.pk), 0)])


def test_one_tenants_trouble_is_not_the_next_ones(alice, bob, bobs, published, monkeypatch, caplog):
    find = sweeping.receivers_with_due
    with entered(bob):
        make_delivery(bobs)

    def fail_once():
        monkeypatch.setattr(sweeping, "receivers_with_due", find)
        raise ZeroDivisionError

    monkeypatch.setattr(sweeping, "receivers_with_due", fail_once)
    tasks.sweep_due.apply(throw=True)

    assert published == [(bob.schema_name, str(bobs.pk), 0)]
    assert "A sweep failed for one tenant." in caplog.text


@pytest.mark.parametrize(("comes_back_in", "countdowns"), [(None, []), (0.0, [0.0]), (8.0, [8.0])])
def test_a_task_queues_itself_again_when_there_is_more(in_alice, published, monkeypatch, comes_back_in, countdowns):
    monkeypatch.setattr(tasks.delivering, "deliver_due", lambda endpoint_id: comes_back_in)

    tasks.deliver.apply(kwargs={"endpoint_id": "x"}, throw=True)

    assert [countdown for _, _, countdown in published] == countdowns


NOW = timezone.now()
SOON, EARLIER = NOW + timedelta(minutes=1), NOW - timedelta(minutes=1)


@pytest.mark.parametrize(
    ("of_endpoint", "of_delivery", "is_found"),
    [
        ({}, {}, True),
        ({}, {"next_attempt_at": SOON}, False),
        ({}, {"state": DeliveryState.FAILED}, False),
        ({}, {"claimed_until": SOON}, False),
        ({}, {"claimed_until": EARLIER}, True),
        ({"resting_until": SOON}, {}, False),
        ({"resting_until": EARLIER}, {}, True),
        ({"is_active": False}, {}, False),
        ({"paused_at": NOW}, {}, False),
        ({"paused_at": NOW}, {"event": Event.TEST}, True),
    ],
)
def test_what_the_sweep_finds(in_alice, of_endpoint, of_delivery, is_found):
    endpoint = make_endpoint(**of_endpoint)
    make_delivery(endpoint, **{"next_attempt_at": EARLIER, **of_delivery})

    assert sweeping.receivers_with_due(now=NOW) == ([endpoint.pk] if is_found else [])


def test_deliveries_go_after_thirty_days(alice, bob, in_alice, monkeypatch):
    monkeypatch.setattr(sweeping, "BATCH", 2)
    endpoint = make_endpoint()
    old = NOW - timedelta(days=31)
    for _ in range(5):
        delivery = make_delivery(endpoint, state=DeliveryState.DELIVERED, created_at=old)
        WebhookAttempt.objects.create(delivery=delivery, number=1, at=old)
    kept = make_delivery(endpoint, state=DeliveryState.DELIVERED, created_at=NOW - timedelta(days=29))
    with entered(bob):
        theirs = make_delivery(make_endpoint(), state=DeliveryState.DELIVERED, created_at=NOW - timedelta(days=29))

    tasks.sweep_expired.apply(throw=True)

    assert list(WebhookDelivery.objects.all()) == [kept]
    assert not WebhookAttempt.objects.exists()
    with entered(bob):
        assert list(WebhookDelivery.objects.all()) == [theirs]


@pytest.mark.parametrize(("paused_at", "is_kept"), [(None, True), (NOW, False)])
def test_what_waits_for_a_receiver_that_runs_is_never_deleted(in_alice, paused_at, is_kept):
    make_delivery(make_endpoint(paused_at=paused_at), created_at=NOW - timedelta(days=31))

    sweeping.delete_expired(now=NOW)

    assert WebhookDelivery.objects.exists() is is_kept


def test_a_deleted_webhook_goes_with_everything_a_day_later(in_alice):
    endpoint = make_endpoint(deleted_at=NOW, is_active=False)
    other = make_endpoint()
    delivery = make_delivery(endpoint, state=DeliveryState.DELIVERED)
    WebhookAttempt.objects.create(delivery=delivery, number=1, at=NOW)
    kept = make_delivery(other)

    sweeping.delete_expired(now=NOW + timedelta(hours=23))
    assert WebhookDelivery.objects.count() == 2
    sweeping.delete_expired(now=NOW + timedelta(hours=25))

    assert list(WebhookEndpoint.objects.all()) == [other]
    assert list(WebhookDelivery.objects.all()) == [kept]


def test_what_was_emitted_while_it_was_switched_off_does_not_wait_forever(in_alice):
    delivery = make_delivery(make_endpoint(is_active=False))

    sweeping.delete_expired()

    delivery.refresh_from_db()
    assert delivery.state == DeliveryState.ABANDONED


def test_old_secrets_are_forgotten_when_their_day_is_over(in_alice):
    over = make_endpoint(old_secret="whsec_old", old_secret_until=EARLIER)
    valid = make_endpoint(old_secret="whsec_old", old_secret_until=SOON)

    sweeping.delete_expired(now=NOW)

    over.refresh_from_db()
    valid.refresh_from_db()
    assert (over.old_secret, over.old_secret_until) == ("", None)
    assert valid.old_secret == "whsec_old"
