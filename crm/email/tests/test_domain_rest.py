"""REST: the same rules as on the pages."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from crm.email.enums import DomainState
from crm.email.models import EmailDomain
from tenants.context import entered
from tenants.enums import Scope
from tenants.models import Membership, SendingDomain
from tenants.services.tokens import create_token

ROOT = "/api/v1/sending-domains/"


@pytest.fixture(autouse=True)
def account(settings, monkeypatch, unused_port):
    monkeypatch.setattr(settings.ENV, "sendgrid_api_key", "SG.test")
    monkeypatch.setattr(settings.ENV, "sendgrid_api_url", f"http://127.0.0.1:{unused_port}")


@pytest.fixture
def call(visit, owner):
    def ask(method, path="", data=None, user=owner, **headers):
        client = visit(user)
        return getattr(client, method)(f"{ROOT}{path}", data, content_type="application/json", headers=headers)

    return ask


def make(tenant, name, **fields):
    with entered(tenant):
        SendingDomain.objects.create(domain=name, tenant=tenant)
        return EmailDomain.objects.create(domain=name, **fields)


@pytest.fixture
def domain(alice):
    record = {"key": "dkim1", "type": "CNAME", "host": "s1.acme.com", "data": "x.test", "valid": False, "reason": "No."}
    later = timezone.now() + timedelta(hours=1)
    return make(alice, "acme.com", state=DomainState.PENDING, provider_id="1", records=[record], next_check_at=later)


@pytest.fixture
def bobs(bob):
    return make(bob, "bobs-secret.com", pk=7001, state=DomainState.PENDING, provider_id="2")


def rows(tenant):
    with entered(tenant):
        return list(EmailDomain.objects.order_by("pk").values())


def test_entering(alice, call):
    answer = call("post", data={"domain": "https://Müller.de/"})

    made = answer.json()
    assert (answer.status_code, made["domain"], made["state"]) == (201, "xn--mller-kva.de", "registering")
    assert call("get", f"{made['id']}/").json() == made
    assert [row["domain"] for row in rows(alice)] == ["xn--mller-kva.de"]


def test_entering_twice_with_the_same_key_is_entering_once(alice, call):
    first, second = (call("post", data={"domain": "acme.com"}, **{"Idempotency-Key": "one"}) for _ in range(2))

    assert (first.status_code, second.status_code, first.json() == second.json()) == (201, 201, True)
    assert call("post", data={"domain": "acme.com"}).status_code == 400


def test_reading_shows_the_records_and_no_inner_workings(domain, bobs, call):
    (shown,) = call("get").json()["results"]

    assert shown["records"] == [
        {"key": "dkim1", "type": "CNAME", "host": "s1.acme.com", "value": "x.test", "valid": False, "reason": "No."}
    ]
    assert not {"claimed_until", "provider_id", "user", "failures"} & set(shown)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "domain"),
        ({"domain": ""}, "domain"),
        ({"domain": "gmail.com"}, "domain"),
        ({"domain": "bobs-secret.com"}, "domain"),
        ({"domain": "x" * 1001}, "domain"),
        ({"domain": ["acme.com"]}, "domain"),
        ({"domain": {"a": 1}}, "domain"),
    ],
)
def test_bad_input_names_its_field(alice, bobs, call, body, field):
    answer = call("post", data=body)

    assert (answer.status_code, list(answer.json())) == (400, [field])
    assert rows(alice) == []


def test_what_the_server_decides_cannot_be_sent(alice, call):
    made = call("post", data={"domain": "acme.com", "state": "verified", "verified_at": "2026-01-01T00:00:00Z"}).json()

    assert (made["state"], made["verified_at"]) == ("registering", None)


def test_checking_is_for_now_and_then(domain, alice, call):
    answer = call("post", f"{domain.pk}/check/")
    assert (answer.status_code, answer.json()["id"]) == (202, domain.pk)
    assert rows(alice)[0]["next_check_at"] <= timezone.now()

    with entered(alice):
        EmailDomain.objects.update(checked_at=timezone.now())
    again = call("post", f"{domain.pk}/check/")
    assert (again.status_code, 0 < int(again["Retry-After"]) <= 10) == (429, True)


def test_removing_is_begun(domain, alice, call):
    answer = call("delete", f"{domain.pk}/")

    assert (answer.status_code, answer.json()["state"]) == (202, "removing")
    assert rows(alice)[0]["state"] == "removing"
    assert call("put", f"{domain.pk}/", {"domain": "other.com"}).status_code == 405
    assert call("patch", f"{domain.pk}/", {"domain": "other.com"}).status_code == 405


def test_walls(alice, bob, domain, bobs, call, member, stranger):
    before = rows(alice), rows(bob)

    for method, path in (
        ("get", ""),
        ("get", f"{domain.pk}/"),
        ("post", f"{domain.pk}/check/"),
        ("delete", f"{domain.pk}/"),
    ):
        assert call(method, path, user=None).status_code == 401
        assert call(method, path, user=member).status_code == 403
        assert call(method, path, user=stranger).status_code in (403, 404)
    for method, path in (("get", f"{bobs.pk}/"), ("post", f"{bobs.pk}/check/"), ("delete", f"{bobs.pk}/")):
        assert call(method, path).status_code == 404
    assert (rows(alice), rows(bob)) == before


def test_a_token_may_what_its_scopes_say(alice, domain, owner, visit):
    def with_token(method, path, *scopes):
        token = create_token(
            tenant=alice, name="x", scopes=list(scopes), actor=Membership.objects.get(user=owner, tenant=alice)
        )[1]
        client = visit()
        return getattr(client, method)(f"{ROOT}{path}", headers={"authorization": f"Bearer {token}"}).status_code

    assert with_token("get", "", Scope.EMAIL_READ) == 200
    assert with_token("get", "", Scope.CONTACTS_READ) == 403
    assert with_token("delete", f"{domain.pk}/", Scope.EMAIL_READ) == 403
    assert with_token("delete", f"{domain.pk}/", Scope.EMAIL_WRITE) == 202
