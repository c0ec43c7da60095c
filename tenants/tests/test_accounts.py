"""Signing in and out, forgotten passwords, changed addresses, the second factor."""

import re

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import generate_totp_secret
from django.core import mail
from django.test import Client

from tenants.enums import AuditAction
from tenants.models import AuditEvent, Membership, Tenant, User
from tenants.tests.second_factor import code_for
from thanos.encryption import encrypt

PASSWORD = "correct horse battery"


@pytest.fixture
def guest(visit, alice):
    return visit()


def sign_in(client, email="owner@alice.test", password=PASSWORD):
    return client.post("/accounts/login/", {"login": email, "password": password})


@pytest.mark.parametrize("email", ["owner@alice.test", "OWNER@alice.test"])
def test_sign_in_by_e_mail(guest, email):
    response = sign_in(guest, email)

    assert (response.status_code, response["Location"]) == (302, "/")
    assert guest.get("/").status_code == 200
    assert AuditEvent.objects.filter(action=AuditAction.SIGNED_IN).exists()


@pytest.mark.parametrize(("email", "password"), [("owner@alice.test", "wrong"), ("nobody@alice.test", PASSWORD)])
def test_a_failed_sign_in_says_the_same_whoever_it_was(guest, email, password):
    response = sign_in(guest, email, password)

    assert response.status_code == 200
    assert b"not correct" in response.content
    assert AuditEvent.objects.filter(action=AuditAction.SIGN_IN_FAILED).exists()


def test_a_deactivated_person_cannot_sign_in(guest, owner):
    User.objects.filter(pk=owner.pk).update(is_active=False)

    sign_in(guest)

    assert guest.get("/").status_code == 302


def test_signing_out_needs_a_post(guest):
    sign_in(guest)
    guest.get("/accounts/logout/")
    assert guest.get("/").status_code == 200

    guest.post("/accounts/logout/")

    assert guest.get("/").status_code == 302


def test_a_session_replayed_on_another_tenants_host_is_a_stranger(guest):
    sign_in(guest)
    thief = Client(headers={"host": "bob.test", "x-forwarded-proto": "https"})
    thief.cookies = guest.cookies

    assert thief.get("/").status_code == 404


def test_nobody_signs_up_by_themselves(guest):
    guest.post("/accounts/signup/", {"email": "x@x.test", "password1": PASSWORD, "password2": PASSWORD})

    assert not User.objects.filter(email="x@x.test").exists()


def test_a_forgotten_password_is_reset_by_mail(guest):
    guest.post("/accounts/password/reset/", {"email": "owner@alice.test"})
    link = re.search(r"https://alice\.test(/\S+)", mail.outbox[-1].body).group(1)

    page = guest.get(link, follow=True)
    action = page.request["PATH_INFO"]
    guest.post(action, {"password1": "a wholly new phrase", "password2": "a wholly new phrase"})

    assert sign_in(guest, password="a wholly new phrase")["Location"] == "/"


def test_a_strangers_address_tells_nothing_about_who_has_an_account(guest):
    known = guest.post("/accounts/password/reset/", {"email": "owner@alice.test"})
    unknown = guest.post("/accounts/password/reset/", {"email": "who@x.test"})

    assert (known.status_code, known["Location"]) == (unknown.status_code, unknown["Location"])


def test_a_new_address_counts_once_it_is_confirmed(guest, owner):
    sign_in(guest)
    guest.post("/accounts/email/", {"email": "fresh@alice.test", "action_add": ""})
    owner.refresh_from_db()
    assert owner.email == "owner@alice.test"
    link = re.search(r"https://alice\.test(/\S+)", mail.outbox[-1].body).group(1)

    guest.post(link)

    owner.refresh_from_db()
    assert owner.email == "fresh@alice.test"


def test_somebody_in_two_organisations_can_switch(owner, bob, visit):
    Membership.objects.create(tenant=bob, user=owner)

    page = visit(owner).get("/organisations/").content.decode()

    assert "//bob.test" in page
    assert visit(owner, host="bob.test").get("/").status_code == 200


def test_organisations_switched_off_are_not_offered(owner, bob, visit):
    Membership.objects.create(tenant=bob, user=owner)
    Tenant.objects.filter(pk=bob.pk).update(is_active=False)

    assert "bob.test" not in visit(owner).get("/organisations/").content.decode()


# --- the second factor -----------------------------------------------------------------------------------------------


@pytest.fixture
def with_totp(owner):
    secret = generate_totp_secret()
    data = {"secret": encrypt(secret.encode()).decode()}
    Authenticator.objects.create(user=owner, type=Authenticator.Type.TOTP, data=data)
    return secret


def test_with_a_second_factor_the_password_alone_is_not_enough(guest, with_totp):
    assert sign_in(guest)["Location"] == "/accounts/2fa/authenticate/"
    assert guest.get("/").status_code == 302

    guest.post("/accounts/2fa/authenticate/", {"code": code_for(with_totp)})

    assert guest.get("/").status_code == 200


def test_a_wrong_code_is_refused(guest, with_totp):
    sign_in(guest)
    guest.post("/accounts/2fa/authenticate/", {"code": "000000"})

    assert guest.get("/").status_code == 302


def test_setting_it_up_gives_recovery_codes_and_stores_the_secret_encrypted(guest):
    sign_in(guest)
    guest.post("/accounts/reauthenticate/", {"password": PASSWORD})
    page = guest.get("/accounts/2fa/totp/activate/")
    secret = page.context["form"].secret
    guest.post("/accounts/2fa/totp/activate/", {"code": code_for(secret)})

    kinds = {row.type for row in Authenticator.objects.all()}
    assert kinds == {Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES}
    assert secret not in str(list(Authenticator.objects.values_list("data", flat=True)))


def test_sign_in_is_rate_limited(guest, settings):
    settings.ACCOUNT_RATE_LIMITS = {"login": "3/m/ip", "login_failed": "3/m/ip"}
    for _ in range(4):
        last = sign_in(guest, password="wrong")

    assert last.status_code == 429 or b"Too many" in last.content
