"""The provider's posts: whose they are, and what is stored of them."""

import json
import logging
import time
import uuid

import pytest
from django.db import DatabaseError, connection
from django.test import Client

from crm.email import webhooks
from crm.email.enums import EventKind
from crm.email.models import EmailEvent
from crm.email.services import events as storing
from crm.email.services.events import MalformedError, read_events, store_events
from crm.email.tasks import events as tasks
from crm.email.tests.news import NOW, URL, Key, body_of, event, make_batch, make_message
from tenants.celery import HEADER
from tenants.context import entered

KEY = Key()


@pytest.fixture(autouse=True)
def signed_with_a_key(settings, monkeypatch):
    monkeypatch.setattr(settings.ENV, "sendgrid_webhook_public_key", [KEY.public])


@pytest.fixture
def published(monkeypatch):
    """The organisations whose news was to be applied."""
    found = []
    monkeypatch.setattr(tasks.apply_events, "apply_async", lambda kwargs, countdown, headers: found.append(headers[HEADER]))
    return found


@pytest.fixture
def message(alice):
    with entered(alice):
        return make_message()


def post(body, *, host="anything.example", headers=None):
    return Client(headers={"host": host}).post(
        URL, body, content_type="application/json", headers=KEY.headers(body) if headers is None else headers
    )


def stored(tenant):
    with entered(tenant):
        return list(EmailEvent.objects.order_by("provider_event_id").values_list("message_id", "kind"))


def test_signed_news_is_stored_with_its_message_and_applied_later(
    alice, bob, message, published, django_capture_on_commit_callbacks
):
    body = body_of(event(message, alice.schema_name, "delivered", response="250 OK", ip="167.89.1.1"))

    with django_capture_on_commit_callbacks(execute=True):
        response = post(body)

    assert (response.status_code, response.content) == (204, b"")
    assert stored(alice) == [(message.pk, EventKind.DELIVERED)]
    assert stored(bob) == []
    assert published == [alice.schema_name]
    with entered(alice):
        row = EmailEvent.objects.get()
        assert (row.at, row.applied_at, row.detail) == (NOW, None, None)


def test_the_same_news_again_is_stored_once(alice, message):
    body = body_of(event(message, alice.schema_name, "delivered"), event(message, alice.schema_name, "open"))

    assert [post(body).status_code for _ in range(3)] == [204, 204, 204]
    assert len(stored(alice)) == 2


def test_each_organisation_gets_its_own_and_nobody_the_rest(alice, bob, message):
    with entered(bob):
        theirs = make_message()
    body = body_of(
        event(message, alice.schema_name, "delivered"),
        event(theirs, bob.schema_name, "open"),
        event(message, "t_nobody", "open"),
        event(message, "public", "open"),
        event(message, "tenant_template", "open"),
        event(message, None, "open"),
    )

    assert post(body).status_code == 204
    assert stored(alice) == [(message.pk, EventKind.DELIVERED)]
    assert stored(bob) == [(theirs.pk, EventKind.OPENED)]


def test_one_insert_for_each_organisation_however_many_events(alice, message, django_assert_max_num_queries):
    body = body_of(*(event(message, alice.schema_name, "open") for _ in range(600)))

    with django_assert_max_num_queries(8):
        assert post(body).status_code == 204

    assert len(stored(alice)) == 600


# --- what is refused ---------------------------------------------------------------------------------------------------


def test_what_is_not_signed_is_refused(alice, message, caplog):
    body = body_of(event(message, alice.schema_name, "delivered"))
    good = KEY.headers(body)
    signature, timestamp = good

    for headers in (
        {},
        {signature: good[signature]},
        {timestamp: good[timestamp]},
        Key().headers(body),
        KEY.headers(body[:-2]),
        {**good, timestamp: str(int(good[timestamp]) + 1)},
    ):
        assert post(body, headers=headers).status_code == 403

    assert stored(alice) == []
    assert "ann@example.com" not in caplog.text


@pytest.mark.parametrize("age_s", [26 * 3600, -3600])
def test_what_was_signed_at_another_time_is_refused(alice, message, age_s):
    body = body_of(event(message, alice.schema_name, "delivered"))

    assert post(body, headers=KEY.headers(body, str(int(time.time() - age_s)))).status_code == 403
    assert stored(alice) == []


def test_without_a_key_nobody_is_believed_and_the_log_says_why(alice, message, settings, monkeypatch, caplog):
    monkeypatch.setattr(settings.ENV, "sendgrid_webhook_public_key", [])
    body = body_of(event(message, alice.schema_name, "delivered"))

    with caplog.at_level(logging.WARNING):
        assert post(body).status_code == 403

    assert "SENDGRID_WEBHOOK_PUBLIC_KEY is not set" in caplog.text
    assert stored(alice) == []


def test_a_second_key_is_believed_as_well(alice, message, settings, monkeypatch):
    monkeypatch.setattr(settings.ENV, "sendgrid_webhook_public_key", [Key().public, KEY.public])

    assert post(body_of(event(message, alice.schema_name, "delivered"))).status_code == 204
    assert len(stored(alice)) == 1


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"event":"open"}', b'"text"', b"[" * 100_000])
def test_signed_nonsense_is_a_bad_request(db, body):
    assert post(body).status_code == 400


def test_other_methods_are_refused(db):
    assert Client().get(URL).status_code == 405


def test_what_is_too_large_is_refused_unread(db, monkeypatch):
    monkeypatch.setattr(webhooks, "EVENTS_MAX_BYTES", 100)

    assert post(b"[" + b" " * 98 + b"]").status_code == 204
    assert post(b"[" + b" " * 99 + b"]").status_code == 413


def test_more_than_a_forms_worth_is_taken(alice, message):
    """Django's own limit for bodies, 2.5 MB, is not this one's."""
    body = body_of(event(message, alice.schema_name, "open", url="x" * 3_000_000))

    assert post(body).status_code == 204
    assert len(stored(alice)) == 1


def test_what_cannot_be_stored_is_asked_for_again(alice, message, monkeypatch, caplog):
    def fail(*_args, **_more):
        raise DatabaseError("ann@example.com")

    body = body_of(event(message, alice.schema_name, "delivered"))
    with monkeypatch.context() as patch:
        patch.setattr(storing, "_store", fail)
        assert post(body).status_code == 503
    assert stored(alice) == []

    assert post(body).status_code == 204
    assert len(stored(alice)) == 1


def test_nothing_personal_is_logged(alice, message, caplog):
    with caplog.at_level(logging.DEBUG):
        post(body_of(event(message, alice.schema_name, "click", ip="203.0.113.7"), event(None, "t_nobody", "open")))

    assert "is not ours to know" in caplog.text
    for private in ("ann@example.com", "nobody@example.com", "203.0.113.7", str(message.pk)):
        assert private not in caplog.text


# --- hostile and odd events --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"sg_event_id": ""},
        {"sg_event_id": None},
        {"sg_event_id": 7},
        {"timestamp": None},
        {"timestamp": -1},
        {"timestamp": 10**30},
        {"timestamp": 1e400},
        {"timestamp": True},
        {"timestamp": "soon"},
        {"event": "account_status_change"},
        {"event": ["delivered"]},
        {"thanos_message": "not-a-uuid"},
        {"thanos_message": 5},
        {"thanos_tenant": {"a": 1}},
        {"thanos_tenant": "x\x00y"},
    ],
)
def test_an_odd_event_is_ignored_and_the_others_are_not(alice, message, change):
    odd = {**event(message, alice.schema_name, "delivered"), **change}
    body = json.dumps([odd, event(message, alice.schema_name, "open"), None, 5, [], {}]).encode()

    assert post(body).status_code == 204
    assert stored(alice) == [(message.pk, EventKind.OPENED)]


def test_texts_no_database_can_hold_are_taken_without_what_is_wrong_with_them(alice, message):
    odd = event(message, alice.schema_name, "bounce", reason="5\x0050 \ud800no", sg_event_id="a\x00b", type="bounce")

    assert post(body_of(odd)).status_code == 204
    with entered(alice):
        row = EmailEvent.objects.get()
        assert (row.provider_event_id, row.detail["reason"]) == ("ab", "550 no")


def test_ids_longer_than_the_column_are_told_apart(alice, message):
    long = ["x" * 200 + end for end in "ab"]

    for _ in range(2):
        post(body_of(*(event(message, alice.schema_name, "open", sg_event_id=one) for one in long)))

    assert len(stored(alice)) == 2


def test_details_are_not_readable_in_the_database(alice, message):
    post(body_of(event(message, alice.schema_name, "bounce", type="bounce", reason="550 no ann@example.com")))

    with entered(alice), connection.cursor() as cursor:
        cursor.execute("SELECT e::text FROM crm_email_emailevent e")
        assert "ann@example" not in cursor.fetchone()[0]


def test_opens_of_machines_are_marked(alice, message):
    post(
        body_of(
            event(message, alice.schema_name, "open", sg_event_id="a", sg_machine_open=True),
            event(message, alice.schema_name, "open", sg_event_id="b", sg_machine_open=False),
            event(message, alice.schema_name, "click", sg_event_id="c", useragent="Barracuda"),
        )
    )

    with entered(alice):
        rows = EmailEvent.objects.order_by("provider_event_id").values_list("is_machine", flat=True)
        assert list(rows) == [True, False, True]


def test_news_of_an_organisation_that_is_switched_off_is_kept(alice, message):
    alice.is_active = False
    alice.save(update_fields=["is_active"])

    post(body_of(event(message, alice.schema_name, "unsubscribe")))

    assert stored(alice) == [(message.pk, EventKind.UNSUBSCRIBED)]


# --- late bounces, which lack our arguments -----------------------------------------------------------------------------


def test_a_late_bounce_finds_its_message_by_request_and_address(alice, bob, message):
    with entered(bob):
        make_message(batch=make_batch(provider_id="another"))
    with entered(alice):
        mine = make_message(batch=make_batch(provider_id="abc123"), to_email="ben@example.com")

    post(body_of(event(None, None, "bounce", email="ben@example.com", type="bounce")))

    assert stored(alice) == [(mine.pk, EventKind.BOUNCED)]
    assert stored(bob) == []


@pytest.mark.parametrize(
    "change",
    [
        {"email": "other@example.com"},
        {"sg_message_id": "zzz.recvd"},
        {"sg_message_id": ""},
        {"event": "open"},
        {"thanos_tenant": "t_nobody"},
    ],
)
def test_a_late_bounce_of_something_else_finds_nothing(alice, change):
    with entered(alice):
        make_message(batch=make_batch(), to_email="ben@example.com")

    post(body_of({**event(None, None, "bounce", email="ben@example.com", type="bounce"), **change}))

    assert stored(alice) == []


def test_a_late_bounce_that_names_the_organisation_is_looked_for_there_only(alice, bob):
    for tenant in (alice, bob):
        with entered(tenant):
            make_message(batch=make_batch(), to_email="ben@example.com")

    post(body_of(event(None, bob.schema_name, "bounce", email="ben@example.com", type="bounce")))

    assert stored(alice) == []
    assert len(stored(bob)) == 1


# --- storing, without HTTP ---------------------------------------------------------------------------------------------


def test_what_was_taken_and_ignored_is_counted(alice, message):
    found = store_events([event(message, alice.schema_name, "open"), event(message, "t_nobody", "open"), None])

    assert (found.taken, found.ignored) == (1, 2)


def test_nothing_to_store_asks_the_database_nothing(db, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert store_events([]).taken == 0


def test_messages_that_are_gone_do_not_stop_the_rest(alice):
    gone = {**event(None, alice.schema_name, "open"), "thanos_message": str(uuid.uuid4())}

    assert store_events([gone]).taken == 1


def test_only_lists_are_read():
    assert read_events(b"[1]\r\n") == [1]
    with pytest.raises(MalformedError):
        read_events(b"{}")


def test_the_sweep_comes_back_to_what_was_left(alice, bob, message, published):
    from datetime import timedelta

    from django.utils import timezone

    store_events([event(message, alice.schema_name, "open")])
    tasks.sweep_events()
    assert published == []  # its own task is on its way

    with entered(alice):
        EmailEvent.objects.update(received_at=timezone.now() - timedelta(minutes=1))
    tasks.sweep_events()
    assert published == [alice.schema_name]
