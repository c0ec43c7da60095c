"""The pages: who may see them, what they show, what their buttons do."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from crm.hooks.enums import DeliveryState, Event, PauseReason, Problem
from crm.hooks.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from crm.hooks.tests.factories import PUBLIC_URL, SECRET, make_delivery, make_endpoint
from tenants.context import entered
from tenants.enums import AuditAction
from tenants.models import AuditEvent

LIST = "/settings/webhooks/"
FORM = {"url": PUBLIC_URL, "description": "Warehouse", "events": ["call.finished", "contact.created"], "is_active": "on"}
BUTTONS = ["pause", "resume", "test", "roll", "delete", "resend"]


@pytest.fixture
def endpoint(alice):
    with entered(alice):
        return make_endpoint(description="Alice's warehouse")


@pytest.fixture
def delivery(alice, endpoint):
    with entered(alice):
        delivery = make_delivery(
            endpoint,
            state=DeliveryState.FAILED,
            attempts=1,
            last_status_code=500,
            last_problem=Problem.STATUS,
            next_attempt_at=None,
        )
        WebhookAttempt.objects.create(
            delivery=delivery,
            number=1,
            at=timezone.now(),
            status_code=500,
            problem=Problem.STATUS,
            duration_ms=321,
            response_excerpt="<b>out of order</b>",
        )
        return delivery


@pytest.fixture
def bobs(bob):
    with entered(bob):
        return make_delivery(make_endpoint(description="Bob's secret project"))


def pages(endpoint, delivery):
    at = f"{LIST}{endpoint.pk}/"
    return [LIST, f"{LIST}new/", at, f"{at}edit/", f"{at}{delivery.pk}/"]


def buttons(endpoint, delivery):
    at = f"{LIST}{endpoint.pk}/"
    return [*(f"{at}{name}/" for name in BUTTONS), f"{at}{delivery.pk}/resend/"]


def everything(model, tenant):
    with entered(tenant):
        return list(model.objects.order_by("pk").values())


def test_pages_open_for_owners_and_admins(endpoint, delivery, visit, owner, admin):
    for user in (owner, admin):
        assert [visit(user).get(path).status_code for path in pages(endpoint, delivery)] == [200] * 5


def test_others_see_and_change_nothing(alice, endpoint, delivery, visit, member, stranger):
    before = everything(WebhookEndpoint, alice), everything(WebhookDelivery, alice)

    for path in pages(endpoint, delivery):
        assert visit().get(path).url.startswith("/accounts/login/")
        assert visit(member).get(path).status_code == 403
        assert visit(stranger).get(path).status_code == 404
    for path in [*buttons(endpoint, delivery), f"{LIST}new/", f"{LIST}{endpoint.pk}/edit/"]:
        assert visit().post(path, FORM).url.startswith("/accounts/login/")
        assert visit(member).post(path, FORM).status_code == 403
        assert visit(stranger).post(path, FORM).status_code == 404

    assert (everything(WebhookEndpoint, alice), everything(WebhookDelivery, alice)) == before


def test_another_tenants_webhooks_are_not_found(endpoint, delivery, bobs, bob, visit, owner):
    before = everything(WebhookEndpoint, bob), everything(WebhookDelivery, bob)

    for path in pages(bobs.endpoint, bobs)[2:]:
        assert visit(owner).get(path).status_code == 404
    for path in buttons(bobs.endpoint, bobs):
        assert visit(owner).post(path).status_code == 404
    assert "Bob" not in visit(owner).get(LIST).content.decode()
    assert (everything(WebhookEndpoint, bob), everything(WebhookDelivery, bob)) == before


def test_a_delivery_belongs_to_its_webhook(alice, delivery, visit, owner):
    with entered(alice):
        other = make_endpoint()

    assert visit(owner).get(f"{LIST}{other.pk}/{delivery.pk}/").status_code == 404
    assert visit(owner).get(f"{LIST}{other.pk}/{uuid.uuid4()}/").status_code == 404
    assert visit(owner).get(f"{LIST}nonsense/").status_code == 404


def test_wrong_methods(endpoint, delivery, visit, owner):
    assert [visit(owner).get(path).status_code for path in buttons(endpoint, delivery)] == [405] * 7
    assert visit(owner).post(LIST).status_code == 405
    assert visit(owner).post(f"{LIST}{endpoint.pk}/").status_code == 405


def test_posting_needs_the_token_of_the_form(endpoint, delivery, owner):
    client = Client(enforce_csrf_checks=True, headers={"host": "alice.test", "x-forwarded-proto": "https"})
    client.force_login(owner)

    assert [client.post(path).status_code for path in buttons(endpoint, delivery)] == [403] * 7


def test_an_empty_list_says_what_to_do(alice, visit, owner):
    page = visit(owner).get(LIST).content.decode()

    assert "Let other programs know at once" in page
    assert "/settings/webhooks/new/" in page


def test_the_list_shows_each_state(alice, visit, owner):
    with entered(alice):
        make_endpoint(description="new one")
        make_endpoint(description="quiet", is_active=False)
        make_endpoint(description="dead", paused_at=timezone.now(), paused_reason=PauseReason.FAILING)
        make_endpoint(description="ill", failing_since=timezone.now(), last_attempt_at=timezone.now())
        make_endpoint(description="well", last_attempt_at=timezone.now())
        make_endpoint(description="gone", deleted_at=timezone.now())

    page = visit(owner).get(LIST).content.decode()

    for words in ("Nothing sent yet", "Off", "Paused", "The receiver has failed for days", "Failing", "Working"):
        assert words in page
    assert "gone" not in page


def test_the_lists_take_the_same_queries_for_one_and_for_three(alice, visit, owner):
    client = visit(owner)
    with entered(alice):
        endpoint = make_endpoint()
        make_delivery(endpoint)
    paths = [LIST, f"{LIST}{endpoint.pk}/"]

    def counts():
        found = []
        for path in paths:
            with CaptureQueriesContext(connection) as queries:
                assert client.get(path).status_code == 200
            found.append(len(queries))
        return found

    counts()
    before = counts()
    with entered(alice):
        for _ in range(2):
            make_delivery(make_endpoint())
            make_delivery(endpoint)

    assert counts() == before


def test_adding_shows_the_secret_once(alice, visit, owner):
    client = visit(owner)

    answer = client.post(f"{LIST}new/", FORM)
    first, second = client.get(answer.url), client.get(answer.url)

    with entered(alice):
        endpoint = WebhookEndpoint.objects.get()
    assert (endpoint.url, endpoint.description) == (PUBLIC_URL, "Warehouse")
    assert set(endpoint.events) == {"call.finished", "contact.created"}
    assert endpoint.secret in first.content.decode()
    assert "no-store" in first["Cache-Control"]
    assert endpoint.secret not in second.content.decode()
    assert endpoint.secret not in str(dict(client.session))


def test_a_secret_is_shown_to_nobody_else(alice, visit, owner, admin):
    answer = visit(owner).post(f"{LIST}new/", FORM)

    with entered(alice):
        secret = WebhookEndpoint.objects.get().secret
    assert secret not in visit(admin).get(answer.url).content.decode()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"url": ""}, "This field is required."),
        ({"url": "nonsense"}, "Write the address in full"),
        ({"url": "http://93.184.215.14/"}, "Use https"),
        ({"url": "https://10.0.0.1/"}, "10.0.0.1 is not on the public internet"),
        ({"url": "https://user:pw@example.com/"}, "Leave user name and password out"),
        ({"events": []}, "Choose at least one event."),
        ({"events": ["webhook.test"]}, "Select a valid choice"),
        ({"description": "x" * 201}, "at most 200 characters"),
    ],
)
def test_bad_input_is_explained_and_kept(alice, visit, owner, change, words):
    answer = visit(owner).post(f"{LIST}new/", {**FORM, **change})

    assert answer.status_code == 422
    page = answer.content.decode()
    assert words in page
    assert "Warehouse" in page or "description" in change
    assert everything(WebhookEndpoint, alice) == []


def test_changing(alice, endpoint, visit, owner):
    client = visit(owner)
    form = client.get(f"{LIST}{endpoint.pk}/edit/").content.decode()

    answer = client.post(f"{LIST}{endpoint.pk}/edit/", {**FORM, "events": ["import.finished"]})

    assert PUBLIC_URL in form
    assert answer.status_code == 302
    with entered(alice):
        endpoint.refresh_from_db()
    assert (endpoint.events, endpoint.description, endpoint.secret) == (["import.finished"], "Warehouse", SECRET)
    refused = client.post(f"{LIST}{endpoint.pk}/edit/", {**FORM, "url": "https://127.0.0.1/"})
    assert refused.status_code == 422


def test_the_page_of_a_paused_webhook_says_why(alice, endpoint, visit, owner):
    with entered(alice):
        WebhookEndpoint.objects.filter(pk=endpoint.pk).update(
            paused_at=timezone.now(),
            paused_reason=PauseReason.FAILING,
            failing_since=timezone.now() - timedelta(days=3),
            consecutive_failures=31,
            last_problem=Problem.CERTIFICATE,
        )

    page = " ".join(visit(owner).get(f"{LIST}{endpoint.pk}/").content.decode().split())

    assert "The receiver has failed for days" in page
    assert "31 times in a row" in page
    assert "The certificate could not be verified" in page
    assert "Resume" in page


def test_the_page_teaches_how_to_check_a_signature(endpoint, visit, owner):
    page = visit(owner).get(f"{LIST}{endpoint.pk}/").content.decode()

    assert "def verify(secret: str, header: str, body: bytes" in page
    assert "hmac.compare_digest" in page


def test_pausing_resuming_and_rolling(alice, endpoint, visit, owner):
    client = visit(owner)
    at = f"{LIST}{endpoint.pk}/"

    client.post(f"{at}pause/")
    with entered(alice):
        endpoint.refresh_from_db()
    assert (endpoint.is_paused, endpoint.paused_reason) == (True, PauseReason.BY_HAND)
    client.post(f"{at}resume/")
    page = client.get(client.post(f"{at}roll/").url).content.decode()

    with entered(alice):
        endpoint.refresh_from_db()
    assert not endpoint.is_paused
    assert (endpoint.secret in page, endpoint.old_secret) == (True, SECRET)
    events = AuditEvent.objects.filter(action=AuditAction.WEBHOOK_CHANGED, actor=owner)
    assert events.count() == 3


def test_deleting(alice, endpoint, visit, owner):
    client = visit(owner)

    assert client.post(f"{LIST}{endpoint.pk}/delete/").url == LIST
    assert client.get(f"{LIST}{endpoint.pk}/").status_code == 404
    assert client.post(f"{LIST}{endpoint.pk}/resume/").status_code == 404


def test_a_test_leads_to_its_delivery_which_refreshes_itself(alice, endpoint, visit, owner):
    client = visit(owner)

    answer = client.post(f"{LIST}{endpoint.pk}/test/")

    with entered(alice):
        delivery = WebhookDelivery.objects.get()
    assert (delivery.event, answer.url) == (Event.TEST, delivery.get_absolute_url())
    assert 'hx-trigger="every 3s"' in client.get(answer.url).content.decode()
    fragment = client.get(answer.url, headers={"hx-request": "true"}).content.decode()
    assert fragment.lstrip().startswith('<div id="delivery"')
    with entered(alice):
        WebhookDelivery.objects.update(state=DeliveryState.DELIVERED, next_attempt_at=None)
    assert "hx-trigger" not in client.get(answer.url).content.decode()


def test_what_is_switched_off_says_so(alice, endpoint, delivery, visit, owner):
    with entered(alice):
        WebhookEndpoint.objects.update(is_active=False)
    client = visit(owner)

    for path in (
        f"{LIST}{endpoint.pk}/test/",
        f"{LIST}{endpoint.pk}/resend/",
        f"{LIST}{endpoint.pk}/{delivery.pk}/resend/",
    ):
        page = client.post(path, follow=True).content.decode()
        assert "This webhook is switched off." in page


def test_the_log_is_filtered_by_state(alice, endpoint, delivery, visit, owner):
    with entered(alice):
        make_delivery(endpoint, state=DeliveryState.DELIVERED, event=Event.CALL_STARTED)
    client = visit(owner)

    def rows(query):
        page = client.get(f"{LIST}{endpoint.pk}/?{query}").content.decode()
        return [name in page.split("<tbody>")[1] for name in ("Contact created", "Call started")]

    assert rows("") == [True, True]
    assert rows("state=failed") == [True, False]
    assert rows("state=delivered") == [False, True]
    assert rows("state=pending") == [False, False]
    assert rows("state=nonsense&page=nonsense") == [True, True]


def test_a_long_log_has_pages(alice, endpoint, visit, owner):
    with entered(alice):
        for _ in range(51):
            make_delivery(endpoint)
    client = visit(owner)

    first = client.get(f"{LIST}{endpoint.pk}/?state=pending").content.decode()
    second = client.get(f"{LIST}{endpoint.pk}/?state=pending&page=2").content.decode()

    assert "?state=pending&amp;page=2" in first
    assert (first.count("row-link"), second.count("row-link")) == (50, 1)


def test_a_deliverys_page_shows_request_and_answer(endpoint, delivery, visit, owner):
    page = visit(owner).get(delivery.get_absolute_url()).content.decode()

    assert "Zoë Ångström" in page
    assert str(delivery.pk) in page
    assert "&lt;b&gt;out of order&lt;/b&gt;" in page
    assert "321 ms" in page
    assert SECRET not in page


def test_sending_again(alice, endpoint, delivery, visit, owner):
    page = visit(owner).post(f"{delivery.get_absolute_url()}resend/", follow=True).content.decode()

    assert "It is being sent again." in page
    with entered(alice):
        delivery.refresh_from_db()
    assert delivery.state == DeliveryState.PENDING


def test_sending_everything_again_that_failed(alice, endpoint, delivery, visit, owner):
    client = visit(owner)
    assert "Send the failed again (1)" in client.get(f"{LIST}{endpoint.pk}/").content.decode()

    client.post(f"{LIST}{endpoint.pk}/resend/")

    with entered(alice):
        delivery.refresh_from_db()
    assert delivery.state == DeliveryState.PENDING
