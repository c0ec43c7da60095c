"""API tokens: made and taken back by the service, and what they open and do not open over HTTP."""

import hashlib
import re
from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.views import APIView

from telephony.models import Line
from telephony.tests.factories import make_finished_call
from tenants.context import entered
from tenants.enums import AuditAction, Role, Scope
from tenants.models import ApiToken, AuditEvent, Membership, Tenant
from tenants.permissions import scope_for
from tenants.services import tokens
from tenants.services.tokens import TokenError, create_token, revoke_token

CALLS = "/api/v1/calls/"
LINES = "/api/v1/lines/"


def membership(user, tenant):
    return Membership.objects.get(user=user, tenant=tenant)


@pytest.fixture
def make(alice, owner):
    def make_token(scopes=(Scope.CALLS_READ,), user=owner, tenant=alice, **more):
        return create_token(tenant=tenant, name="Website", scopes=scopes, actor=membership(user, tenant), **more)

    return make_token


@pytest.fixture
def ask(visit):
    def send(text, path=CALLS, host="alice.test", method="get", **more):
        return getattr(visit(host=host), method)(path, headers={"authorization": f"Bearer {text}"}, **more)

    return send


def change_role(user, tenant, role):
    Membership.objects.filter(user=user, tenant=tenant).update(role=role)


# --- making and revoking ---------------------------------------------------------------------------------------------


def test_a_token_is_random_marked_and_stored_as_a_digest_only(make):
    token, text = make()
    _, other = make()

    assert re.fullmatch(r"tht_[A-Za-z0-9]{43}", text)
    assert text != other
    assert (token.prefix, token.token_hash) == (text[:10], hashlib.sha256(text.encode()).hexdigest())
    assert text not in str(ApiToken.objects.filter(pk=token.pk).values().get())


def test_scopes_are_kept_once_each_and_in_the_registers_order(make):
    token, _ = make(scopes=["lines:read", "calls:read", "lines:read"])

    assert token.scopes == ["calls:read", "lines:read"]
    assert token.scope_labels == ["Read calls", "Read lines"]


@pytest.mark.parametrize(
    "faulty",
    [
        {"name": "  "},
        {"scopes": []},
        {"scopes": ["calls:read", "everything"]},
        {"expires_at": timezone.now() - timedelta(seconds=1)},
    ],
)
def test_a_token_that_would_be_of_no_use_is_not_made(alice, owner, faulty):
    values = {"name": "Website", "scopes": ["calls:read"], **faulty}

    with pytest.raises(TokenError):
        create_token(tenant=alice, actor=membership(owner, alice), **values)
    assert not ApiToken.objects.exists()


def test_a_member_or_a_manager_of_elsewhere_makes_none(alice, bob, member, stranger):
    for actor in (membership(member, alice), membership(stranger, bob)):
        with pytest.raises(TokenError, match="owners and admins"):
            create_token(tenant=alice, name="Mine", scopes=["calls:read"], actor=actor)


def test_there_is_an_end_to_tokens_and_revoking_makes_room(make, alice, owner, monkeypatch):
    monkeypatch.setattr(tokens, "MAX_TOKENS", 1)
    token, _ = make()
    with pytest.raises(TokenError, match="revoke one"):
        make()

    revoke_token(token=token, actor=membership(owner, alice))

    make()


def test_making_and_revoking_are_written_down_without_the_secret(make, alice, owner):
    token, text = make(ip_address="192.0.2.7")
    assert revoke_token(token=token, actor=membership(owner, alice), ip_address="192.0.2.8") is True
    assert revoke_token(token=token, actor=membership(owner, alice)) is False

    events = AuditEvent.objects.filter(target__startswith=f"token {token.pk} ").order_by("pk")
    assert [(event.action, event.actor, event.ip_address) for event in events] == [
        (AuditAction.TOKEN_CREATED, owner, "192.0.2.7"),
        (AuditAction.TOKEN_REVOKED, owner, "192.0.2.8"),
    ]
    assert not any(text in event.target for event in events)


# --- what opens ------------------------------------------------------------------------------------------------------


def test_a_token_opens_what_its_scope_names(make, ask, alice, bob):
    with entered(alice):
        call = make_finished_call()
    with entered(bob):
        make_finished_call()

    response = ask(make()[1])

    assert [found["id"] for found in response.json()["results"]] == [str(call.pk)]
    assert response.json()["results"][0]["from_number"] == "+15557001"  # its maker's eyes: an owner's


def test_the_scheme_may_be_written_in_any_case(make, visit):
    _, text = make()

    assert visit().get(CALLS, headers={"authorization": f"bearer  {text}"}).status_code == 200


def test_what_is_done_with_a_token_is_written_down_as_its_makers(make, ask, alice, owner):
    with entered(alice):
        call = make_finished_call()

    ask(make()[1], f"{CALLS}{call.pk}/")

    assert AuditEvent.objects.get(action=AuditAction.CALL_VIEWED).actor == owner


def test_reading_is_not_writing_and_calls_are_not_lines(make, ask, alice):
    with entered(alice):
        path = f"{LINES}{Line.objects.get(is_default=True).pk}/"
    change = {"method": "patch", "data": {"greeting": "Hi."}, "content_type": "application/json"}

    calls, reader, writer = make()[1], make(["lines:read"])[1], make(["lines:write"])[1]

    assert (ask(calls, path).status_code, ask(calls, path, **change).status_code) == (403, 403)
    assert (ask(reader, path).status_code, ask(reader, path, **change).status_code) == (200, 403)
    assert (ask(writer, path).status_code, ask(writer, path, **change).status_code) == (403, 200)
    assert ask(reader, path, **change).json() == {"detail": "This token lacks the scope lines:write."}


def test_every_view_of_the_api_names_scopes_that_exist():
    """A view without them is closed to tokens: say so on purpose by taking it into the list here."""
    from drf_spectacular.generators import EndpointEnumerator

    open_to_all = {"TokenView", "RefreshView"}
    missing, wrong = set(), set()
    for path, _, method, callback in EndpointEnumerator(urlconf="thanos.urls_api").get_api_endpoints():
        view = callback.cls(**getattr(callback, "initkwargs", {}))
        view.action = getattr(callback, "actions", {}).get(method.lower())
        scope = scope_for(view, method)
        if scope is None and type(view).__name__ not in open_to_all:
            missing.add(f"{method} {path}")
        if scope is not None and scope not in Scope.values:
            wrong.add(f"{method} {path}: {scope}")

    assert (missing, wrong) == (set(), set())


def test_an_action_may_ask_for_a_scope_of_its_own():
    class View(APIView):
        required_scopes = {"read": Scope.CONTACTS_READ, "export": Scope.EXPORTS_READ}

    view = View()
    assert (scope_for(view, "GET"), scope_for(view, "POST")) == ("contacts:read", None)
    view.action = "export"
    assert scope_for(view, "GET") == "exports:read"


def test_a_view_that_names_no_scope_is_closed(make, ask, monkeypatch):
    from telephony.api import CallViewSet

    monkeypatch.setattr(CallViewSet, "required_scopes", {})

    response = ask(make(Scope.values)[1])

    assert (response.status_code, response.json()) == (403, {"detail": "API tokens are not accepted here."})


def test_pages_do_not_take_tokens(make, ask):
    assert ask(make(Scope.values)[1], "/calls/").status_code == 302


# --- what does not ---------------------------------------------------------------------------------------------------


def refused(response):
    """Refused in the same words whatever the reason, so that nothing is learnt from trying."""
    return (
        response.status_code == 401
        and response["WWW-Authenticate"] == 'Bearer realm="api"'
        and response.json() == {"detail": "This token does not work here."}
    )


@pytest.mark.parametrize("text", ["tht_", "tht_nonsense", "tht_" + "a" * 43, "tht_" + "é" * 43, "tht_a b"])
def test_a_token_that_is_made_up_is_refused(alice, ask, text):
    assert refused(ask(text.encode().decode("latin-1")))


def test_a_token_ends_when_it_is_revoked(make, ask, alice, owner):
    token, text = make()
    assert ask(text).status_code == 200

    revoke_token(token=token, actor=membership(owner, alice))

    assert refused(ask(text))


def test_a_token_ends_when_its_time_is_over(make, ask):
    token, text = make(expires_at=timezone.now() + timedelta(days=1))
    assert ask(text).status_code == 200

    ApiToken.objects.filter(pk=token.pk).update(expires_at=timezone.now())

    assert refused(ask(text))


def test_a_token_is_its_makers_and_ends_with_their_rights(make, ask, alice, admin):
    _, text = make(user=admin)
    assert ask(text).status_code == 200

    change_role(admin, alice, Role.MEMBER)
    assert refused(ask(text))

    change_role(admin, alice, Role.ADMIN)
    admin.is_active = False
    admin.save()
    assert refused(ask(text))

    admin.is_active = True
    admin.save()
    Membership.objects.filter(user=admin).delete()
    assert refused(ask(text))


def test_a_token_of_somebody_deleted_is_dead(make, ask, admin):
    token, text = make(user=admin)

    admin.delete()

    assert ApiToken.objects.get(pk=token.pk).created_by is None
    assert refused(ask(text))


def test_a_token_works_on_its_own_tenants_domain_only(make, ask, bob, owner):
    """Even when its maker manages both."""
    Membership.objects.create(tenant=bob, user=owner, role=Role.OWNER)
    with entered(bob):
        make_finished_call()

    assert refused(ask(make()[1], host="bob.test"))


def test_a_token_of_a_tenant_switched_off_is_dead(make, ask, alice):
    _, text = make()

    Tenant.objects.filter(pk=alice.pk).update(is_active=False)

    assert ask(text).status_code == 404


def test_other_bearers_are_left_to_the_jwts(alice, ask, visit):
    response = visit().post(
        "/api/v1/token/",
        {"email": "owner@alice.test", "password": "correct horse battery"},
        content_type="application/json",
    )

    assert ask(response.json()["access"]).status_code == 200
    assert ask("nonsense").json()["code"] == "token_not_valid"
    assert visit().get(CALLS)["WWW-Authenticate"] == 'Bearer realm="api"'


# --- when it was last used -------------------------------------------------------------------------------------------


def used(token):
    return ApiToken.objects.get(pk=token.pk).last_used_at


def test_use_is_noted_at_most_once_a_minute(make, ask):
    token, text = make()
    assert used(token) is None

    ask(text)
    first = used(token)
    ask(text)
    assert first is not None
    assert used(token) == first

    long_ago = timezone.now() - timedelta(minutes=2)
    ApiToken.objects.filter(pk=token.pk).update(last_used_at=long_ago)
    ask(text)
    assert used(token) > long_ago


def test_a_token_refused_was_not_used(make, ask):
    token, text = make()
    ask(text, host="bob.test")

    assert used(token) is None


def test_a_token_costs_the_same_queries_as_it_grows_older(make, ask, alice):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    _, text = make()
    ask(text)
    with CaptureQueriesContext(connection) as captured:
        ask(text)

    asked = [query["sql"] for query in captured if "tenants_apitoken" in query["sql"] or "membership" in query["sql"]]
    assert len(asked) == 2  # the token with its maker, and what they are here
