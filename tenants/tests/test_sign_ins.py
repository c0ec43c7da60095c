"""How sign-ins end: tokens with the password, the role and the membership; everything when somebody asks for it."""

from __future__ import annotations

import pytest
from django.test import Client

from tenants.enums import Role
from tenants.models import Membership, User
from tenants.services.people import change_role, end_sign_ins, remove_member
from tenants.tasks import sweep_idempotency_keys

PASSWORD = "correct horse battery"


def ask(visit, path: str, host: str = "alice.test", **body):
    return visit(host=host).post(f"/api/v1/{path}", body, content_type="application/json")


@pytest.fixture
def sign_in(visit, member):
    def do() -> dict[str, str]:
        answer = ask(visit, "token/", email=member.email, password=PASSWORD)
        assert answer.status_code == 200, answer.content
        return answer.json()

    return do


def look(visit, access: str, host: str = "alice.test") -> int:
    return visit(host=host).get("/api/v1/calls/", headers={"authorization": f"Bearer {access}"}).status_code


def test_a_token_works_until_the_password_is_changed(visit, member, sign_in):
    tokens = sign_in()
    assert look(visit, tokens["access"]) == 200

    member.set_password("another phrase altogether")
    member.save()

    assert look(visit, tokens["access"]) == 401
    assert ask(visit, "token/refresh/", refresh=tokens["refresh"]).status_code == 401


def test_a_token_ends_with_the_role_it_was_made_under(visit, member, owner, sign_in):
    tokens, membership = sign_in(), member.memberships.get()

    change_role(membership=membership, role=Role.ADMIN, actor=owner.memberships.get())

    assert look(visit, tokens["access"]) == 401
    assert ask(visit, "token/refresh/", refresh=tokens["refresh"]).status_code == 401
    assert look(visit, sign_in()["access"]) == 200


def test_who_was_removed_and_comes_back_needs_new_tokens(visit, alice, member, owner, sign_in):
    tokens = sign_in()

    remove_member(membership=member.memberships.get(), actor=owner.memberships.get())
    assert look(visit, tokens["access"]) == 404
    assert ask(visit, "token/refresh/", refresh=tokens["refresh"]).status_code == 401
    Membership.objects.create(tenant=alice, user=member)

    assert look(visit, tokens["access"]) == 401


def test_a_token_is_for_one_organisation(visit, alice, bob, member, sign_in):
    tokens = sign_in()
    assert look(visit, tokens["access"], host="bob.test") == 404

    Membership.objects.create(tenant=bob, user=member)

    assert look(visit, tokens["access"], host="bob.test") == 401
    assert ask(visit, "token/refresh/", host="bob.test", refresh=tokens["refresh"]).status_code == 401
    assert look(visit, tokens["access"]) == 200


def test_a_refresh_token_works_once(visit, sign_in):
    tokens = sign_in()

    first = ask(visit, "token/refresh/", refresh=tokens["refresh"])
    again = ask(visit, "token/refresh/", refresh=tokens["refresh"])

    assert (first.status_code, again.status_code) == (200, 401)
    assert look(visit, first.json()["access"]) == 200
    assert ask(visit, "token/refresh/", refresh=first.json()["refresh"]).status_code == 200
    sweep_idempotency_keys()
    assert ask(visit, "token/refresh/", refresh=tokens["refresh"]).status_code == 401, "kept as long as it could be used"


@pytest.mark.parametrize("refresh", ["", "x", "a.b.c", None, 5, ["x"]])
def test_what_is_no_refresh_token_is_refused(visit, alice, refresh):
    assert ask(visit, "token/refresh/", refresh=refresh).status_code in (400, 401)


def test_an_access_token_does_not_refresh(visit, sign_in):
    assert ask(visit, "token/refresh/", refresh=sign_in()["access"]).status_code == 401


def test_signing_out_everywhere_ends_sessions_and_tokens_of_that_person_alone(visit, member, owner, sign_in):
    tokens, here, there, other = sign_in(), visit(member), visit(member), visit(owner)
    assert there.get("/").status_code == 200

    answer = here.post("/settings/sign-ins/end/")

    assert (answer.status_code, answer["Location"]) == (302, "/accounts/login/")
    assert [client.get("/").status_code for client in (here, there, other)] == [302, 302, 200]
    assert look(visit, tokens["access"]) == 401
    assert look(visit, sign_in()["access"]) == 200


def test_signing_out_everywhere_needs_a_post_by_somebody(visit, member):
    assert visit(member).get("/settings/sign-ins/end/").status_code == 405
    assert visit().post("/settings/sign-ins/end/")["Location"].startswith("/accounts/login/")


def test_whoever_is_signed_in_already_stays_so_over_the_upgrade(member):
    """The hash of the first round is what it was before there were rounds."""
    from django.contrib.auth.models import AbstractBaseUser

    before = AbstractBaseUser._get_session_auth_hash(member)

    assert member.get_session_auth_hash() == before
    end_sign_ins(user=member)
    assert User.objects.get(pk=member.pk).get_session_auth_hash() != before


# --- guessing ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def limits(settings):
    settings.ACCOUNT_RATE_LIMITS = {"login": "30/m/ip", "login_failed": "10/m/ip,5/300s/key"}


def page(visit, password: str, address: str = "203.0.113.1", email: str = "owner@alice.test") -> bool:
    client = visit()
    client.post("/accounts/login/", {"login": email, "password": password}, REMOTE_ADDR=address)
    return "_auth_user_id" in client.session


def api(visit, password: str, address: str = "203.0.113.1", email: str = "owner@alice.test") -> int:
    body = {"email": email, "password": password}
    return visit().post("/api/v1/token/", body, content_type="application/json", REMOTE_ADDR=address).status_code


def test_page_and_api_share_the_failures_of_an_address_and_account(visit, alice, limits):
    for _ in range(3):
        assert not page(visit, "wrong")
    assert [api(visit, "wrong") for _ in range(2)] == [401, 401]

    assert api(visit, PASSWORD) == 429
    assert not page(visit, PASSWORD)


def test_nobody_keeps_an_owner_out_by_guessing(visit, alice, limits):
    for number in range(12):
        page(visit, "wrong", address=f"203.0.113.{number % 3}")
        api(visit, "wrong", address=f"203.0.113.{number % 3}")

    assert not page(visit, PASSWORD, address="203.0.113.1")
    assert page(visit, PASSWORD, address="198.51.100.7")
    assert api(visit, PASSWORD, address="198.51.100.7") == 200


def test_spelling_the_address_otherwise_gives_no_more_guesses(visit, alice, limits):
    for email in ("owner@alice.test", "OWNER@alice.test", "Owner@Alice.test", " owner@alice.test", "owner@alice.TEST"):
        api(visit, "wrong", email=email.strip())

    assert api(visit, PASSWORD) == 429


def test_the_addresses_of_one_network_of_ipv6_are_one(visit, alice, limits):
    for number in range(5):
        api(visit, "wrong", address=f"2001:db8:1:2::{number + 1}")

    assert api(visit, PASSWORD, address="2001:db8:1:2::99") == 429
    assert api(visit, PASSWORD, address="2001:db8:1:3::1") == 200


def test_an_account_that_is_guessed_at_from_everywhere_answers_slower_and_still_answers(visit, alice, limits, monkeypatch):
    from tenants import guessing

    waited: list[float] = []
    monkeypatch.setattr(guessing.time, "sleep", waited.append)
    for number in range(guessing.FREE_FAILURES + 5):
        api(visit, "wrong", address=f"198.51.100.{number}")

    assert api(visit, PASSWORD, address="192.0.2.1") == 200
    assert page(visit, PASSWORD, address="192.0.2.2")
    assert 0 < max(waited) <= guessing.MOST_S
    waited.clear()
    assert api(visit, PASSWORD, address="192.0.2.1", email="nobody@alice.test") == 401
    assert waited == []


# --- links and hosts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["alice.test:31337", "ALICE.test:80", "alice.test.", "alice.test.:31337"])
def test_links_in_e_mails_are_built_from_the_table_of_domains(alice, host, mailoutbox):
    client = Client(headers={"host": host, "x-forwarded-host": "evil.test", "x-forwarded-proto": "https"})

    client.post("/accounts/password/reset/", {"email": "owner@alice.test"})

    [message] = mailoutbox
    assert "https://alice.test/accounts/password/reset/key/" in message.body
    assert not any(word in message.body + message.subject for word in ("31337", "evil", "ALICE"))


@pytest.mark.parametrize(
    ("public", "link"),
    [
        ("http://127.0.0.1:8010", "http://alice.test:8010/join/"),
        ("https://calls.example", "https://alice.test/join/"),
        ("https://calls.example:8443", "https://alice.test:8443/join/"),
    ],
)
def test_an_invitation_leads_to_the_port_and_scheme_of_the_installation(visit, owner, settings, public, link):
    settings.PUBLIC_URL = public
    client = visit(owner, host="alice.test:31337")

    client.post("/settings/people/invite/", {"email": "new@alice.test", "role": "member"})

    assert link in client.get("/settings/people/").content.decode()


def test_nothing_in_the_product_builds_links_from_the_host_header():
    import re
    from pathlib import Path

    from thanos.env import BASE_DIR

    allowed = {"tenants/middleware.py", "tenants/addresses.py"}
    found = {
        str(path.relative_to(BASE_DIR))
        for room in ("agents", "base", "billing", "crm", "telephony", "tenants", "thanos")
        for path in (Path(BASE_DIR) / room).rglob("*.py")
        if "tests" not in path.parts and re.search(r"get_host\(|get_port\(|HTTP_HOST", path.read_text())
    }

    assert found <= allowed
