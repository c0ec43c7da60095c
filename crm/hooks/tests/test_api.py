"""REST: the same rules as on the pages, and the secret only where it is made."""

from __future__ import annotations

import pytest
from django.utils import timezone

from crm.hooks.enums import DeliveryState, Event
from crm.hooks.models import WebhookDelivery, WebhookEndpoint
from crm.hooks.tests.factories import PUBLIC_URL, SECRET, make_delivery, make_endpoint
from tenants.context import entered

pytestmark = pytest.mark.urls("crm.hooks.tests.urls")
ROOT = "/api/v1/webhooks/"
NEW = {"url": PUBLIC_URL, "events": ["contact.created", "call.finished"], "description": "Warehouse"}
ACTIONS = ["roll-secret", "pause", "resume", "test"]


@pytest.fixture
def call(visit, owner):
    """Ask the API as somebody, usually Alice's owner."""

    def ask(method, path="", data=None, user=owner, host="alice.test"):
        client = visit(user, host)
        return getattr(client, method)(f"{ROOT}{path}", data, content_type="application/json")

    return ask


@pytest.fixture
def endpoint(alice):
    with entered(alice):
        return make_endpoint(description="Alice's")


@pytest.fixture
def bobs(bob):
    with entered(bob):
        return make_endpoint(description="Bob's")


def test_adding_shows_the_secret_this_once(alice, call):
    made = call("post", data=NEW)

    assert made.status_code == 201
    with entered(alice):
        endpoint = WebhookEndpoint.objects.get()
    body = made.json()
    assert (body["id"], body["secret"]) == (str(endpoint.pk), endpoint.secret)
    assert body["events"] == endpoint.events == ["contact.created", "call.finished"]
    shown = call("get", f"{endpoint.pk}/").json()
    assert shown == {name: value for name, value in body.items() if name != "secret"}
    assert endpoint.secret not in call("get").content.decode()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"url": "https://127.0.0.1/"}, "url"),
        ({"url": "http://93.184.215.14/"}, "url"),
        ({"url": "nonsense"}, "url"),
        ({"url": ""}, "url"),
        ({"url": "https://a\0b/"}, "url"),
        ({"url": None}, "url"),
        ({"events": []}, "events"),
        ({"events": ["webhook.test"]}, "events"),
        ({"events": "contact.created"}, "events"),
        ({"events": [["contact.created"]]}, "events"),
        ({"description": "x" * 201}, "description"),
        ({"is_active": "perhaps"}, "is_active"),
    ],
)
def test_bad_input_names_the_field(alice, endpoint, call, change, field):
    for answer in (call("post", data={**NEW, **change}), call("patch", f"{endpoint.pk}/", change)):
        assert answer.status_code == 400
        assert list(answer.json()) == [field]
    with entered(alice):
        assert WebhookEndpoint.objects.count() == 1


def test_too_many(alice, call):
    with entered(alice):
        for _ in range(20):
            make_endpoint()

    answer = call("post", data=NEW)

    assert (answer.status_code, list(answer.json())) == (400, ["non_field_errors"])


def test_changing_a_part_keeps_the_rest(alice, endpoint, call):
    answer = call("patch", f"{endpoint.pk}/", {"events": ["import.finished"]})

    assert answer.status_code == 200
    with entered(alice):
        endpoint.refresh_from_db()
    assert (endpoint.events, endpoint.url, endpoint.description) == (["import.finished"], PUBLIC_URL, "Alice's")


def test_what_is_ours_to_say_cannot_be_written(alice, endpoint, call):
    call("patch", f"{endpoint.pk}/", {"secret": "mine", "paused_at": "2026-01-01T00:00:00Z", "consecutive_failures": 9})

    with entered(alice):
        endpoint.refresh_from_db()
    assert (endpoint.secret, endpoint.paused_at, endpoint.consecutive_failures) == (SECRET, None, 0)


def test_deleting(alice, endpoint, call):
    assert call("delete", f"{endpoint.pk}/").status_code == 204
    assert call("get", f"{endpoint.pk}/").status_code == 404
    assert call("get").json()["results"] == []


def test_pause_resume_roll_and_test(alice, endpoint, call):
    assert call("post", f"{endpoint.pk}/pause/").json()["paused_reason"] == "by-hand"
    assert call("post", f"{endpoint.pk}/resume/").json()["paused_at"] is None
    secret = call("post", f"{endpoint.pk}/roll-secret/").json()["secret"]
    tested = call("post", f"{endpoint.pk}/test/")

    with entered(alice):
        endpoint.refresh_from_db()
        delivery = WebhookDelivery.objects.get()
    assert (endpoint.secret, endpoint.old_secret) == (secret, SECRET)
    assert (tested.status_code, tested.json()["id"], tested.json()["event"]) == (201, str(delivery.pk), Event.TEST)


def test_a_test_of_what_is_switched_off(alice, call):
    with entered(alice):
        endpoint = make_endpoint(is_active=False)

    assert call("post", f"{endpoint.pk}/test/").status_code == 400


def test_the_log_says_what_became_of_each_but_not_what_was_told(alice, endpoint, call):
    with entered(alice):
        delivery = make_delivery(endpoint, state=DeliveryState.DELIVERED, last_status_code=200, finished_at=timezone.now())
        make_delivery(make_endpoint())

    answer = call("get", f"{endpoint.pk}/deliveries/")

    (shown,) = answer.json()["results"]
    assert (shown["id"], shown["state"], shown["last_status_code"]) == (str(delivery.pk), "delivered", 200)
    assert "Zoë" not in answer.content.decode()


def test_members_strangers_and_nobody(alice, endpoint, call, member, stranger):
    at = f"{endpoint.pk}/"
    requests = [("get", ""), ("post", ""), ("get", at), ("patch", at), ("put", at), ("delete", at)]
    requests += [("post", f"{at}{name}/") for name in ACTIONS] + [("get", f"{at}deliveries/")]

    for method, path in requests:
        data = NEW if method != "get" else None
        assert call(method, path, data, user=member).status_code == 403
        assert call(method, path, data, user=stranger).status_code == 404
        assert call(method, path, data, user=None).status_code == 401
    with entered(alice):
        assert list(WebhookEndpoint.objects.values_list("pk", "description", "secret")) == [
            (endpoint.pk, "Alice's", SECRET)
        ]


def test_another_tenants_webhooks_are_neither_listed_nor_found(endpoint, bobs, bob, call):
    assert [found["id"] for found in call("get").json()["results"]] == [str(endpoint.pk)]
    at = f"{bobs.pk}/"
    for method, path in [("get", at), ("patch", at), ("delete", at), *(("post", f"{at}{name}/") for name in ACTIONS)]:
        assert call(method, path, {} if method != "get" else None).status_code == 404
    assert call("get", f"{at}deliveries/").status_code == 404
    with entered(bob):
        bobs.refresh_from_db()
    assert (bobs.deleted_at, bobs.paused_at, bobs.secret) == (None, None, SECRET)


def test_wrong_methods_and_ids(endpoint, call):
    assert call("delete").status_code == 405
    assert call("get", f"{endpoint.pk}/pause/").status_code == 405
    assert call("post", f"{endpoint.pk}/deliveries/").status_code == 405
    assert call("get", "nonsense/").status_code == 404
