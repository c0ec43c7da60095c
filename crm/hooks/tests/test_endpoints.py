"""What people do with webhooks."""

from datetime import timedelta

import pytest
from django.utils import timezone

from crm.hooks import sending
from crm.hooks.enums import DeliveryState, Event, PauseReason, Problem
from crm.hooks.models import WebhookEndpoint
from crm.hooks.services import endpoints as services
from crm.hooks.services.endpoints import HookError
from crm.hooks.services.pausing import pause_endpoint, resume_endpoint
from crm.hooks.tests.factories import PUBLIC_URL, SECRET, make_delivery, make_endpoint
from tenants.enums import AuditAction
from tenants.models import AuditEvent


def traces():
    found = AuditEvent.objects.filter(action=AuditAction.WEBHOOK_CHANGED).order_by("pk")
    return [event.target.split(maxsplit=2)[2] for event in found]


def change(endpoint, **values):
    before = {name: getattr(endpoint, name) for name in ("url", "description", "events", "is_active")}
    services.change_endpoint(endpoint=endpoint, **{**before, **values})


def test_a_webhook_is_added_with_a_secret_of_its_own(alice, in_alice, owner):
    first = services.create_endpoint(url=PUBLIC_URL, events=["call.finished"], description="Warehouse", actor=owner)
    second = services.create_endpoint(url=PUBLIC_URL, events=["call.finished"])

    assert first.secret.startswith("whsec_")
    assert first.secret != second.secret
    event = AuditEvent.objects.filter(action=AuditAction.WEBHOOK_CHANGED).order_by("pk")[0]
    assert (event.tenant, event.actor, event.target) == (alice, owner, f"webhook {first.pk}: added")


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"url": "https://127.0.0.1/"}, "url"),
        ({"url": "https://localhost/"}, "url"),
        ({"url": "https://[::ffff:169.254.169.254]/"}, "url"),
        ({"url": "http://93.184.215.14/"}, "url"),
        ({"url": "nonsense"}, "url"),
        ({"events": []}, "events"),
        ({"events": ["contact.eaten"]}, "events"),
        ({"events": [Event.TEST]}, "events"),
    ],
)
def test_what_is_refused(in_alice, values, field):
    with pytest.raises(HookError) as refused:
        services.create_endpoint(**{"url": PUBLIC_URL, "events": ["call.finished"], **values})

    assert refused.value.field == field
    assert not WebhookEndpoint.objects.exists()


def test_a_name_that_leads_inside_is_refused_when_it_is_saved(in_alice, monkeypatch):
    monkeypatch.setattr(sending, "look_up", lambda host, port, timeout_s: ["93.184.215.14", "10.0.0.1"])

    with pytest.raises(HookError, match=r"hooks\.example is not on the public internet"):
        services.create_endpoint(url="https://hooks.example/", events=["call.finished"])


def test_there_is_a_limit(in_alice):
    for _ in range(services.MAX_ENDPOINTS):
        make_endpoint()
    make_endpoint(deleted_at=timezone.now())

    with pytest.raises(HookError, match="20 webhooks already"):
        services.create_endpoint(url=PUBLIC_URL, events=["call.finished"])


def test_an_address_that_stays_is_not_looked_up_again(in_alice, monkeypatch):
    endpoint = make_endpoint(url="https://hooks.example/")
    monkeypatch.setattr(sending, "look_up", lambda *_: pytest.fail("looked up"))

    change(endpoint, description="New words", events=["call.started"])

    assert (endpoint.description, endpoint.events) == ("New words", ["call.started"])
    assert traces() == ["changed"]


def test_another_address_starts_afresh(in_alice):
    now = timezone.now()
    endpoint = make_endpoint(consecutive_failures=5, failing_since=now, resting_until=now + timedelta(minutes=5))

    change(endpoint, url="https://93.184.215.15/")

    assert (endpoint.consecutive_failures, endpoint.failing_since, endpoint.resting_until) == (0, None, None)
    with pytest.raises(HookError):
        change(endpoint, url="https://10.0.0.1/")


def test_switching_off_gives_up_what_waits(in_alice):
    endpoint, other = make_endpoint(), make_endpoint()
    waiting, done, theirs = make_delivery(endpoint), make_delivery(endpoint, state="delivered"), make_delivery(other)
    sending_now = make_delivery(endpoint, claimed_until=timezone.now() + timedelta(minutes=1), attempts=1)

    change(endpoint, is_active=False)

    states = []
    for delivery in (waiting, done, theirs, sending_now):
        delivery.refresh_from_db()
        states.append(delivery.state)
    assert states == ["abandoned", "delivered", "pending", "pending"]
    assert waiting.last_problem == Problem.SWITCHED_OFF
    assert traces() == ["switched off"]


def test_rolling_twice_ends_the_first_secret(in_alice):
    endpoint = make_endpoint()
    first = services.roll_secret(endpoint=endpoint)
    second = services.roll_secret(endpoint=endpoint)
    endpoint.refresh_from_db()

    assert endpoint.signing_keys(timezone.now()) == [second, first]
    assert len({SECRET, first, second}) == 3
    assert traces() == ["secret rolled", "secret rolled"]


def test_deleting_hides_it_at_once_and_forgets_the_secret(in_alice):
    endpoint = make_endpoint()
    delivery = make_delivery(endpoint)

    services.delete_endpoint(endpoint=endpoint)
    services.delete_endpoint(endpoint=endpoint)

    endpoint.refresh_from_db()
    delivery.refresh_from_db()
    assert not WebhookEndpoint.objects.kept().exists()
    assert (endpoint.secret, endpoint.is_active, delivery.state) == ("", False, DeliveryState.ABANDONED)
    assert traces() == ["deleted"]


def test_pausing_and_resuming(in_alice, owner):
    now = timezone.now()
    endpoint = make_endpoint(consecutive_failures=12, failing_since=now, resting_until=now + timedelta(minutes=5))
    waiting = make_delivery(endpoint, next_attempt_at=now + timedelta(hours=6), attempts=5)

    assert pause_endpoint(endpoint=endpoint, reason=PauseReason.BY_HAND, actor=owner) is True
    assert pause_endpoint(endpoint=endpoint, reason=PauseReason.FAILING) is False
    endpoint.refresh_from_db()
    assert endpoint.paused_reason == PauseReason.BY_HAND
    assert resume_endpoint(endpoint=endpoint, actor=owner) is True
    assert resume_endpoint(endpoint=endpoint, actor=owner) is False

    endpoint.refresh_from_db()
    waiting.refresh_from_db()
    assert (endpoint.paused_at, endpoint.paused_reason) == (None, "")
    assert (endpoint.consecutive_failures, endpoint.failing_since, endpoint.resting_until) == (0, None, None)
    assert waiting.next_attempt_at <= timezone.now()
    assert [trace.split(":")[0] for trace in traces()] == ["paused", "resumed"]


@pytest.mark.parametrize("state", [DeliveryState.FAILED, DeliveryState.DELIVERED, DeliveryState.ABANDONED, "pending"])
def test_a_delivery_is_sent_again_under_its_id_with_ten_new_attempts(in_alice, state):
    later = timezone.now() + timedelta(hours=1)
    endpoint = make_endpoint(resting_until=later)
    delivery = make_delivery(endpoint, state=state, attempts=10, next_attempt_at=later)

    assert services.resend_delivery(delivery=delivery) is True

    delivery.refresh_from_db()
    endpoint.refresh_from_db()
    assert (delivery.state, delivery.attempts, delivery.attempts_before) == (DeliveryState.PENDING, 10, 10)
    assert delivery.next_attempt_at <= timezone.now()
    assert endpoint.resting_until is None


def test_a_delivery_that_is_being_sent_is_not_sent_twice(in_alice):
    delivery = make_delivery(make_endpoint(), claimed_until=timezone.now() + timedelta(minutes=1), attempts=1)

    assert services.resend_delivery(delivery=delivery) is False


def test_everything_that_failed_is_sent_again(in_alice):
    endpoint, other = make_endpoint(), make_endpoint()
    failed = [make_delivery(endpoint, state=DeliveryState.FAILED) for _ in range(3)]
    make_delivery(endpoint, state=DeliveryState.DELIVERED)
    make_delivery(other, state=DeliveryState.FAILED)

    assert services.resend_failed(endpoint=endpoint) == 3

    waiting = endpoint.deliveries.filter(state=DeliveryState.PENDING)
    assert {delivery.pk for delivery in waiting} == {delivery.pk for delivery in failed}
    assert other.deliveries.get().state == DeliveryState.FAILED


def test_a_test_is_a_delivery_like_any_other(in_alice):
    endpoint = make_endpoint(events=[Event.CALL_STARTED], paused_at=timezone.now())

    delivery = services.send_test(endpoint=endpoint)

    assert (delivery.event, delivery.state) == (Event.TEST, DeliveryState.PENDING)


def test_what_is_switched_off_sends_nothing_by_hand_either(in_alice):
    endpoint = make_endpoint(is_active=False)
    delivery = make_delivery(endpoint, state=DeliveryState.FAILED)

    for act in (
        lambda: services.send_test(endpoint=endpoint),
        lambda: services.resend_delivery(delivery=delivery),
        lambda: services.resend_failed(endpoint=endpoint),
    ):
        with pytest.raises(HookError, match="Switch it on first"):
            act()
