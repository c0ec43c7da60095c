from __future__ import annotations

import json
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from crm.hooks.enums import DeliveryState, Event, PauseReason, Problem
from crm.hooks.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from crm.hooks.sending import Outcome
from crm.hooks.services import delivering
from crm.hooks.services.delivering import AT_ONCE, CLAIM_LASTS, claim_next, deliver_due, request_of, settle
from crm.hooks.services.endpoints import roll_secret
from crm.hooks.signing import verify
from crm.hooks.tests.factories import SECRET, make_delivery, make_endpoint
from tenants.context import entered
from tenants.enums import AuditAction
from tenants.models import AuditEvent

DONE = Outcome(Problem.NONE, 40, 200, "thank you")
BUSY = Outcome(Problem.STATUS, 40, 500, "oh no")


def later(**span):
    return timezone.now() + timedelta(**span)


def attempt(endpoint, outcome, *, now=None):
    """One claim and its end, at a time of our choosing."""
    claim = claim_next(endpoint_id=endpoint.pk, now=now)
    settle(claim=claim, outcome=outcome, now=now)
    endpoint.refresh_from_db()
    claim.delivery.refresh_from_db()
    return claim.delivery


def test_a_delivery_arrives_signed_and_is_written_down(endpoint, receiver):
    delivery = make_delivery(endpoint)

    assert deliver_due(endpoint_id=endpoint.pk) is None

    (got,) = receiver.received
    assert json.loads(got.body) == {
        "id": str(delivery.pk),
        "event": "contact.created",
        "created_at": delivery.created_at.isoformat(),
        "data": {"id": "c-1", "name": "Zoë Ångström"},
    }
    assert got.headers["Webhook-Id"] == str(delivery.pk)
    assert got.headers["Webhook-Event"] == "contact.created"
    assert got.headers["Content-Type"] == "application/json"
    assert verify(SECRET, got.headers["Webhook-Signature"], got.body)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts, delivery.last_status_code) == (DeliveryState.DELIVERED, 1, 200)
    assert (delivery.response_excerpt, delivery.last_problem) == ("thank you", "")
    assert (delivery.claimed_until, delivery.next_attempt_at) == (None, None)
    assert delivery.finished_at is not None
    (logged,) = delivery.log.all()
    assert (logged.number, logged.status_code, logged.problem, logged.response_excerpt) == (1, 200, "", "thank you")
    assert logged.duration_ms == delivery.duration_ms


def test_everything_due_goes_and_nothing_of_another_tenant(endpoint, bobs, bob, receiver):
    with entered(bob):
        theirs = make_delivery(bobs)
    due = [make_delivery(endpoint) for _ in range(3)]
    make_delivery(endpoint, next_attempt_at=later(hours=1))
    make_delivery(endpoint, state=DeliveryState.FAILED)
    make_delivery(make_endpoint())

    deliver_due(endpoint_id=endpoint.pk)
    deliver_due(endpoint_id=bobs.pk)  # with Alice entered, Bob's webhook does not exist

    assert {got.headers["Webhook-Id"] for got in receiver.received} == {str(delivery.pk) for delivery in due}
    with entered(bob):
        theirs.refresh_from_db()
        assert theirs.attempts == 0


def test_after_a_roll_both_secrets_fit(endpoint, receiver):
    new = roll_secret(endpoint=endpoint)
    make_delivery(endpoint)

    deliver_due(endpoint_id=endpoint.pk)

    (got,) = receiver.received
    assert [verify(key, got.headers["Webhook-Signature"], got.body) for key in (new, SECRET)] == [True, True]


def test_a_day_after_a_roll_only_the_new_one_fits(endpoint):
    new = roll_secret(endpoint=endpoint)
    endpoint.refresh_from_db()

    assert endpoint.signing_keys(later(hours=23)) == [new, SECRET]
    assert endpoint.signing_keys(later(hours=25)) == [new]


def test_every_attempt_sends_the_same_bytes_under_the_same_id(endpoint, receiver):
    make_delivery(endpoint)
    receiver.status = 503
    deliver_due(endpoint_id=endpoint.pk)
    WebhookDelivery.objects.update(next_attempt_at=timezone.now())
    receiver.status = 200
    deliver_due(endpoint_id=endpoint.pk)

    first, second = receiver.received
    assert first.body == second.body
    assert first.headers["Webhook-Id"] == second.headers["Webhook-Id"]
    delivery = WebhookDelivery.objects.get()
    assert (delivery.state, delivery.attempts) == (DeliveryState.DELIVERED, 2)
    assert list(delivery.log.values_list("number", "status_code", "problem")) == [(2, 200, ""), (1, 503, "status")]


def test_two_workers_never_make_the_same_attempt(in_alice):
    endpoint = make_endpoint()
    make_delivery(endpoint)

    first, second = claim_next(endpoint_id=endpoint.pk), claim_next(endpoint_id=endpoint.pk)

    assert first is not None
    assert second is None


def test_workers_that_claim_at_the_same_moment(alice):
    """On connections of their own: what they see was committed, and is removed again."""
    claims, ready = [], threading.Barrier(6)

    def alone(work):
        with entered(alice):
            try:
                work()
            finally:
                connection.close()

    def in_thread(work):
        thread = threading.Thread(target=alone, args=(work,))
        thread.start()
        return thread

    def set_up():
        made.append(make_endpoint())
        for _ in range(2):
            make_delivery(made[0])

    def claim():
        ready.wait(10)
        claims.append(claim_next(endpoint_id=made[0].pk))

    made: list[WebhookEndpoint] = []
    in_thread(set_up).join()
    try:
        for thread in [in_thread(claim) for _ in range(6)]:
            thread.join()
    finally:
        in_thread(lambda: WebhookEndpoint.objects.all().delete()).join()

    won = [each for each in claims if each is not None]
    assert len(claims) == 6
    assert len({each.delivery.pk for each in won}) == len(won) == 2


def test_a_claim_of_a_killed_worker_runs_out_and_is_logged(in_alice):
    endpoint = make_endpoint()
    make_delivery(endpoint)
    lost = claim_next(endpoint_id=endpoint.pk)
    after = timezone.now() + CLAIM_LASTS

    assert claim_next(endpoint_id=endpoint.pk, now=after - timedelta(seconds=5)) is None
    delivery = attempt(endpoint, DONE, now=after)

    assert (delivery.state, delivery.attempts) == (DeliveryState.DELIVERED, 2)
    assert list(delivery.log.values_list("number", "problem")) == [(2, ""), (1, Problem.INTERRUPTED)]
    assert settle(claim=lost, outcome=BUSY) == 0.0  # it was not killed after all, only very late
    delivery.refresh_from_db()
    assert delivery.state == DeliveryState.DELIVERED
    assert WebhookAttempt.objects.count() == 2


def test_a_failure_is_tried_again_later(in_alice):
    endpoint = make_endpoint()
    make_delivery(endpoint)
    now = timezone.now()

    delivery = attempt(endpoint, BUSY, now=now)

    assert (delivery.state, delivery.last_problem, delivery.last_status_code) == ("pending", Problem.STATUS, 500)
    assert timedelta(seconds=12) <= delivery.next_attempt_at - now <= timedelta(seconds=18)
    assert (endpoint.consecutive_failures, endpoint.failing_since, endpoint.last_problem) == (1, now, "status")
    assert claim_next(endpoint_id=endpoint.pk, now=now + timedelta(seconds=11)) is None


def test_retry_after_puts_the_next_attempt_off(in_alice):
    endpoint = make_endpoint()
    make_delivery(endpoint)
    now = timezone.now()

    delivery = attempt(endpoint, Outcome(Problem.STATUS, 40, 429, "", retry_after_s=1800), now=now)

    assert delivery.next_attempt_at == now + timedelta(minutes=30)


def test_the_tenth_failure_is_the_last(in_alice):
    endpoint = make_endpoint()
    make_delivery(endpoint)
    now = timezone.now()

    for number in range(1, 11):
        now += timedelta(hours=7.5)
        delivery = attempt(endpoint, BUSY, now=now)
        assert delivery.attempts == number

    assert (delivery.state, delivery.next_attempt_at, delivery.finished_at) == (DeliveryState.FAILED, None, now)
    assert delivery.log.count() == 10
    assert claim_next(endpoint_id=endpoint.pk, now=now + timedelta(days=9)) is None


def test_a_success_ends_a_receivers_bad_time(in_alice):
    endpoint = make_endpoint(consecutive_failures=9, failing_since=timezone.now())
    make_delivery(endpoint)

    attempt(endpoint, DONE)

    assert (endpoint.consecutive_failures, endpoint.failing_since, endpoint.resting_until) == (0, None, None)
    assert (endpoint.last_problem, endpoint.last_duration_ms) == ("", 40)


def test_a_dead_receiver_is_paused_with_a_reason_and_a_trace(alice, in_alice):
    since = timezone.now() - timedelta(days=3)
    endpoint = make_endpoint(consecutive_failures=9, failing_since=since)
    delivery = make_delivery(endpoint)

    attempt(endpoint, BUSY)

    assert endpoint.is_paused
    assert (endpoint.paused_reason, endpoint.failing_since) == (PauseReason.FAILING, since)
    delivery.refresh_from_db()
    assert delivery.state == DeliveryState.PENDING  # it waits to be resumed
    (event,) = AuditEvent.objects.filter(action=AuditAction.WEBHOOK_CHANGED)
    assert (event.tenant, event.actor) == (alice, None)
    assert event.target == f"webhook {endpoint.pk} paused: The receiver has failed for days"


@pytest.mark.parametrize(("failures", "days"), [(8, 9), (50, 2.9)])
def test_a_receiver_that_may_recover_is_not_paused(in_alice, failures, days):
    since = timezone.now() - timedelta(days=days)
    endpoint = make_endpoint(consecutive_failures=failures, failing_since=since)
    make_delivery(endpoint)

    attempt(endpoint, BUSY)

    assert not endpoint.is_paused


def test_a_receiver_that_is_gone_is_paused_at_once(in_alice):
    endpoint = make_endpoint()
    make_delivery(endpoint)

    attempt(endpoint, Outcome(Problem.GONE, 40, 410))

    assert (endpoint.is_paused, endpoint.paused_reason) == (True, PauseReason.GONE)


def test_a_paused_receiver_gets_tests_only(in_alice):
    endpoint = make_endpoint(paused_at=timezone.now())
    make_delivery(endpoint)
    test = make_delivery(endpoint, event=Event.TEST)

    assert claim_next(endpoint_id=endpoint.pk).delivery == test
    assert claim_next(endpoint_id=endpoint.pk) is None


@pytest.mark.parametrize("fields", [{"is_active": False}, {"deleted_at": timezone.now()}])
def test_a_receiver_that_is_switched_off_gets_nothing(in_alice, fields):
    endpoint = make_endpoint(**fields)
    make_delivery(endpoint)

    assert claim_next(endpoint_id=endpoint.pk) is None


def test_one_receiver_has_a_few_requests_at_once(in_alice):
    endpoint, other = make_endpoint(), make_endpoint()
    for _ in range(AT_ONCE + 2):
        make_delivery(endpoint)
    make_delivery(other)

    claims = [claim_next(endpoint_id=endpoint.pk) for _ in range(AT_ONCE + 2)]

    assert [claim is not None for claim in claims] == [True] * AT_ONCE + [False] * 2
    assert claim_next(endpoint_id=other.pk) is not None


@pytest.mark.parametrize("fields", [{"consecutive_failures": 1}, {"last_duration_ms": 4000}])
def test_one_that_fails_or_is_slow_has_one(in_alice, fields):
    endpoint = make_endpoint(**fields)
    make_delivery(endpoint)
    make_delivery(endpoint)

    assert claim_next(endpoint_id=endpoint.pk) is not None
    assert claim_next(endpoint_id=endpoint.pk) is None


def test_a_slow_receiver_rests_as_long_as_it_took(in_alice):
    endpoint = make_endpoint()
    make_delivery(endpoint)
    make_delivery(endpoint)
    sent = []

    def slowly(**request):
        sent.append(request)
        return Outcome(Problem.NONE, 8000, 200)

    assert deliver_due(endpoint_id=endpoint.pk, sender=slowly) == 8.0

    assert len(sent) == 1
    assert claim_next(endpoint_id=endpoint.pk) is None
    assert claim_next(endpoint_id=endpoint.pk, now=later(seconds=9)) is not None


def test_a_dead_receiver_costs_one_attempt_in_minutes_however_much_waits(in_alice):
    endpoint = make_endpoint(consecutive_failures=20, failing_since=timezone.now())
    for _ in range(5):
        make_delivery(endpoint)

    attempt(endpoint, BUSY)

    assert timedelta(seconds=290) < endpoint.resting_until - timezone.now() <= timedelta(seconds=300)
    assert deliver_due(endpoint_id=endpoint.pk) is None
    assert WebhookAttempt.objects.count() == 1


def test_a_worker_leaves_the_rest_to_the_next_task(in_alice):
    endpoint = make_endpoint()
    for _ in range(5):
        make_delivery(endpoint)
    ticks = iter([0.0, 0.0, 10.0, 25.0])

    comes_back_in = deliver_due(endpoint_id=endpoint.pk, sender=lambda **_: DONE, clock=lambda: next(ticks))

    assert comes_back_in == 0.0
    assert endpoint.deliveries.filter(state=DeliveryState.DELIVERED).count() == 2


def test_the_address_is_judged_at_each_sending(endpoint, receiver, settings, monkeypatch):
    delivery = make_delivery(endpoint)
    monkeypatch.setattr(settings.ENV, "webhook_allowed_networks", [])

    deliver_due(endpoint_id=endpoint.pk)

    assert receiver.received == []
    delivery.refresh_from_db()
    assert delivery.last_problem == Problem.BAD_URL  # http, which is for opened networks only


def test_nothing_personal_is_logged(endpoint, receiver, caplog):
    receiver.status, receiver.answer = 500, b"Zo\xc3\xab could not be stored"
    make_delivery(endpoint)

    deliver_due(endpoint_id=endpoint.pk)

    assert "Zoë" not in caplog.text
    assert receiver.url not in caplog.text


def test_the_requests_headers_are_complete(in_alice):
    endpoint = make_endpoint()
    make_delivery(endpoint)

    request = request_of(claim_next(endpoint_id=endpoint.pk))

    expected = {"Content-Type", "User-Agent", "Webhook-Id", "Webhook-Event", "Webhook-Signature"}
    assert set(request["headers"]) == expected
    assert request["headers"]["User-Agent"] == delivering.USER_AGENT
