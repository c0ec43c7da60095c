from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.utils import timezone

from crm.hooks import tasks
from crm.hooks.enums import DeliveryState, Event, PauseReason
from crm.hooks.models import WebhookDelivery
from crm.hooks.services.emitting import emit, emit_many
from crm.hooks.tests.factories import make_endpoint
from tenants.celery import HEADER
from tenants.context import entered


@pytest.fixture
def published(monkeypatch):
    """What was queued: the tenant and the receiver."""
    found = []

    def note(kwargs, countdown, headers):
        found.append((headers[HEADER], kwargs["endpoint_id"]))

    monkeypatch.setattr(tasks.deliver, "apply_async", note)
    return found


def test_nobody_subscribes_one_query(in_alice, django_assert_num_queries):
    make_endpoint(events=[Event.CALL_STARTED])

    with django_assert_num_queries(1):
        emit(event=Event.CONTACT_CREATED, data={"id": 1})
    with django_assert_num_queries(1):
        emit_many(event=Event.CONTACT_CREATED, items=(pytest.fail("not even looked at") for _ in "a"))

    assert not WebhookDelivery.objects.exists()


def test_each_subscriber_gets_a_row_and_a_task_after_the_commit(
    alice, in_alice, published, django_capture_on_commit_callbacks
):
    first, second = make_endpoint(), make_endpoint(events=[Event.CONTACT_CREATED])
    make_endpoint(events=[Event.CONTACT_CHANGED])

    with django_capture_on_commit_callbacks(execute=True):
        emit(event=Event.CONTACT_CREATED, data={"id": 1})
        assert published == []

    rows = WebhookDelivery.objects.all()
    assert {row.endpoint_id for row in rows} == {first.pk, second.pk}
    assert len({row.pk for row in rows}) == 2
    assert {(row.event, row.state, row.attempts) for row in rows} == {("contact.created", DeliveryState.PENDING, 0)}
    assert sorted(published) == sorted([(alice.schema_name, str(first.pk)), (alice.schema_name, str(second.pk))])


def test_a_change_that_is_rolled_back_is_not_told(in_alice, published, django_capture_on_commit_callbacks):
    make_endpoint()

    with django_capture_on_commit_callbacks(execute=True):
        with pytest.raises(ZeroDivisionError):
            with transaction.atomic():
                emit(event=Event.CONTACT_CREATED, data={"id": 1})
                raise ZeroDivisionError

    assert not WebhookDelivery.objects.exists()
    assert published == []


def test_the_commit_may_come_after_the_tenant_was_left(alice, bob, published, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        with entered(alice):
            endpoint = make_endpoint()
            emit(event=Event.CALL_FINISHED, data={})

    assert published == [(alice.schema_name, str(endpoint.pk))]


def test_another_tenants_webhooks_hear_nothing(alice, bob, published, django_capture_on_commit_callbacks):
    with entered(bob):
        make_endpoint()
    with entered(alice):
        with django_capture_on_commit_callbacks(execute=True):
            emit(event=Event.CONTACT_CREATED, data={"id": 1})

    with entered(bob):
        assert not WebhookDelivery.objects.exists()
    assert published == []


def test_the_same_key_twice_is_one_delivery(in_alice, published):
    endpoint, other = make_endpoint(), make_endpoint()

    for key in ("7:1", "7:1", "7:2", "", ""):
        emit(event=Event.CONTACT_CHANGED, data={"key": key}, key=key)
    emit(event=Event.CONTACT_CREATED, data={}, key="7:1")

    for each in (endpoint, other):
        found = sorted(each.deliveries.values_list("event", "key"))
        assert found == [
            ("contact.changed", ""),
            ("contact.changed", ""),
            ("contact.changed", "7:1"),
            ("contact.changed", "7:2"),
            ("contact.created", "7:1"),
        ]


def test_thousands_are_one_insert(in_alice, published, django_assert_num_queries, django_capture_on_commit_callbacks):
    endpoint = make_endpoint()
    items = [({"id": n}, f"{n}:1") for n in range(3000)]

    with django_capture_on_commit_callbacks(execute=True), django_assert_num_queries(2):
        emit_many(event=Event.CONTACT_CREATED, items=items)

    assert endpoint.deliveries.count() == 3000
    assert [pk for _, pk in published] == [str(endpoint.pk)]


def test_values_of_python_become_json_and_unwritable_ones_are_a_loud_error(in_alice, published):
    endpoint = make_endpoint()
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    emit(event=Event.CONTACT_CREATED, data={"at": at, "amount": Decimal("1.50"), "id": UUID(int=1), "name": "Zoë\0"})

    assert endpoint.deliveries.get().payload == {
        "at": "2026-01-02T03:04:05Z",
        "amount": "1.50",
        "id": str(UUID(int=1)),
        "name": "Zoë\0",
    }
    for data in ({"score": float("nan")}, {"what": object()}):
        with pytest.raises((TypeError, ValueError)):
            emit(event=Event.CONTACT_CREATED, data=data)


def test_what_is_told_is_encrypted_at_rest(in_alice, published):
    endpoint = make_endpoint(url="https://93.184.215.14/hooks/my-key")
    emit(event=Event.CONTACT_CREATED, data={"name": "Zoë Ångström"})

    with connection.cursor() as cursor:
        cursor.execute("SELECT payload FROM crm_hooks_webhookdelivery")
        ((payload,),) = cursor.fetchall()
        cursor.execute("SELECT url, secret FROM crm_hooks_webhookendpoint")
        ((url, secret),) = cursor.fetchall()
    assert "ngstr" not in payload
    assert "my-key" not in url
    assert endpoint.secret not in secret


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({"is_active": False}, 0),
        ({"deleted_at": timezone.now()}, 0),
        ({"paused_at": timezone.now(), "paused_reason": PauseReason.FAILING}, 1),
        ({"paused_at": timezone.now() - timedelta(days=4), "paused_reason": PauseReason.FAILING}, 0),
    ],
    ids=["switched off", "deleted", "paused today", "paused long ago"],
)
def test_who_hears_of_it(in_alice, published, fields, count):
    make_endpoint(**fields)

    emit(event=Event.CONTACT_CREATED, data={})

    assert WebhookDelivery.objects.count() == count
