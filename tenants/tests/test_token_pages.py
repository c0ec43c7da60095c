"""The pages of API tokens."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from tenants.enums import AuditAction, Role
from tenants.models import ApiToken, AuditEvent, Membership
from tenants.services.tokens import create_token

LIST, NEW = "/settings/tokens/", "/settings/tokens/new/"


@pytest.fixture
def manager(owner, visit):
    return visit(owner)


@pytest.fixture
def token(alice, owner):
    actor = Membership.objects.get(tenant=alice, user=owner)
    return create_token(tenant=alice, name="Website form", scopes=["calls:read"], actor=actor)[0]


def fill(**values):
    return {"name": "Website form", "scopes": ["contacts:write", "calls:read"], "lifetime": "90", **values}


def test_a_token_is_made_shown_once_and_works(manager, visit, alice, owner):
    response = manager.post(NEW, fill())

    (text,) = re.findall(r"tht_[A-Za-z0-9]{43}", response.content.decode())
    assert (response.status_code, "no-store" in response["Cache-Control"]) == (201, True)
    made = ApiToken.objects.get()
    assert (made.tenant, made.created_by, made.scopes) == (alice, owner, ["contacts:write", "calls:read"])
    assert timedelta(days=89) < made.expires_at - timezone.now() <= timedelta(days=90)
    assert visit().get("/api/v1/calls/", headers={"authorization": f"Bearer {text}"}).status_code == 200
    assert text not in manager.get(LIST).content.decode()
    assert text not in str(dict(manager.session))


def test_a_token_may_be_without_an_end(manager):
    manager.post(NEW, fill(lifetime=""))

    assert ApiToken.objects.get().expires_at is None
    assert b"without end" in manager.get(LIST).content


@pytest.mark.parametrize(
    "faulty", [{"name": ""}, {"name": "x" * 81}, {"scopes": []}, {"scopes": ["everything"]}, {"lifetime": "9999"}]
)
def test_a_faulty_form_comes_back_with_what_was_filled_in(manager, faulty):
    response = manager.post(NEW, fill(**faulty))

    assert response.status_code == 422
    assert b"field--faulty" in response.content
    assert not ApiToken.objects.exists()


def test_what_the_service_refuses_is_said_on_the_page(manager, monkeypatch):
    from tenants.services import tokens

    monkeypatch.setattr(tokens, "MAX_TOKENS", 0)

    response = manager.post(NEW, fill())

    assert (response.status_code, b"revoke one" in response.content) == (422, True)


def test_the_list_shows_each_token_and_nothing_of_another_tenants(manager, token, bob, stranger):
    actor = Membership.objects.get(tenant=bob, user=stranger)
    create_token(tenant=bob, name="Bob's program", scopes=["calls:read"], actor=actor)

    page = manager.get(LIST).content.decode()

    assert f"{token.prefix}…" in page
    assert "Read calls" in page
    assert "never" in page
    assert "Bob&#x27;s program" not in page


def test_an_empty_list_says_what_to_do(manager):
    assert b"Make a token" in manager.get(LIST).content


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({}, "Works"),
        ({"expires_at": timezone.now() - timedelta(days=1)}, "Expired"),
        ({"revoked_at": timezone.now()}, "Revoked"),
        ({"created_by": None}, "Off"),
    ],
)
def test_the_list_says_in_words_whether_a_token_works(manager, token, change, word):
    ApiToken.objects.filter(pk=token.pk).update(**change)

    assert f"</svg>{word}</span>" in manager.get(LIST).content.decode()


def test_a_token_whose_maker_was_demoted_is_shown_as_off(manager, alice, admin):
    actor = Membership.objects.get(tenant=alice, user=admin)
    create_token(tenant=alice, name="Ada's", scopes=["calls:read"], actor=actor)

    Membership.objects.filter(user=admin).update(role=Role.MEMBER)

    assert b"no longer an owner or admin" in manager.get(LIST).content


def test_a_token_is_revoked_once(manager, token):
    path = f"{LIST}{token.pk}/revoke/"

    assert b"is revoked" in manager.post(path, follow=True).content
    assert b"already" in manager.post(path, follow=True).content

    assert ApiToken.objects.get().revoked_at is not None
    assert AuditEvent.objects.filter(action=AuditAction.TOKEN_REVOKED).count() == 1


def test_the_list_takes_the_same_queries_for_one_token_and_for_three(manager, alice, owner):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    counts = []
    for how_many in (1, 2):
        for _ in range(how_many):
            actor = Membership.objects.get(tenant=alice, user=owner)
            create_token(tenant=alice, name="Another", scopes=["calls:read"], actor=actor)
        with CaptureQueriesContext(connection) as captured:
            manager.get(LIST)
        counts.append(len(captured))

    assert counts[0] == counts[1]


@pytest.mark.parametrize("path", [LIST, NEW])
def test_who_may_look(visit, member, stranger, admin, path):
    assert visit().get(path)["Location"].startswith("/accounts/login/")
    assert visit(member).get(path).status_code == 403
    assert visit(stranger).get(path).status_code == 404
    assert visit(admin).get(path).status_code == 200


def test_who_may_act(visit, member, stranger, manager, token):
    revoke = f"{LIST}{token.pk}/revoke/"

    for path in (NEW, revoke):
        assert visit().post(path, fill())["Location"].startswith("/accounts/login/")
        assert visit(member).post(path, fill()).status_code == 403
        assert visit(stranger).post(path, fill()).status_code == 404
    assert visit(stranger, host="bob.test").post(revoke).status_code == 404  # Bob's owner, on his own domain
    assert (manager.get(revoke).status_code, manager.post(LIST).status_code) == (405, 405)
    assert manager.post(f"{LIST}999999/revoke/").status_code == 404

    token.refresh_from_db()
    assert (ApiToken.objects.count(), token.revoked_at) == (1, None)


def test_staff_look_at_tokens_and_change_nothing(visit, owner, token):
    owner.is_staff = owner.is_superuser = True
    owner.save()
    staff = visit(owner, host="public.test")

    assert token.prefix in staff.get("/admin/tenants/apitoken/").content.decode()
    assert staff.get("/admin/tenants/apitoken/add/").status_code == 403
    assert token.token_hash not in staff.get(f"/admin/tenants/apitoken/{token.pk}/change/").content.decode()
