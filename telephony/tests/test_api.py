"""The REST API: contracts other programs rely on, and who may use them."""

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import generate_totp_secret
from django.core.management import call_command
from django.utils import timezone

from telephony.enums import EndedReason, EventKind
from telephony.models import CallEvent, Line
from telephony.tests.factories import add_message, make_call, make_finished_call
from tenants.context import entered
from tenants.enums import AuditAction
from tenants.models import AuditEvent
from tenants.tests.second_factor import code_for
from thanos.encryption import encrypt

PASSWORD = "correct horse battery"


@pytest.fixture
def call(alice):
    with entered(alice):
        call = make_finished_call(ended_reason=EndedReason.AGENT_HUNG_UP, summary="They asked.")
        add_message(call, 1, "user", "When are you open?")
        add_message(call, 2, "assistant", "At nine.", latency={"total": 412})
        CallEvent.objects.create(
            call=call, sequence=3, kind=EventKind.TRANSFER, at=timezone.now(), detail={"to": "+15550999"}
        )
        return call


def token(visit, email="owner@alice.test", password=PASSWORD, host="alice.test", **more):
    return visit(host=host).post(
        "/api/v1/token/", {"email": email, "password": password, **more}, content_type="application/json"
    )


def get(visit, path, email="owner@alice.test", host="alice.test"):
    access = token(visit, email).json()["access"]
    return visit(host=host).get(f"/api/v1{path}", headers={"authorization": f"Bearer {access}"})


def test_a_call_is_found_by_its_sid_with_everything_about_it(call, visit):
    body = get(visit, f"/calls/?call_sid={call.call_sid}").json()

    (result,) = body["results"]
    assert {"id", "call_sid", "direction", "from_number", "to_number", "status", "engine", "started_at"} <= set(result)
    assert (result["ended_reason"], result["fault"], result["duration_s"]) == ("agent-hung-up", "agent", 61)
    assert [(m["sequence"], m["role"], m["text"]) for m in result["messages"]] == [
        (1, "user", "When are you open?"),
        (2, "assistant", "At nine."),
    ]
    assert result["messages"][1]["latency"] == {"total": 412}
    assert [event["kind"] for event in result["events"]] == ["transfer"]


def test_messages_and_events_have_addresses_of_their_own(call, visit):
    assert [m["text"] for m in get(visit, f"/calls/{call.pk}/messages/").json()] == ["When are you open?", "At nine."]
    assert [e["detail"] for e in get(visit, f"/calls/{call.pk}/events/").json()] == [{"to": "+15550999"}]


def test_what_was_not_heard_of_a_message_is_told_from_what_was(call, visit, in_alice):
    add_message(call, 4, "assistant", "We are closed on Sundays.", heard_share=0.4)

    said = [(m["text"], m["heard_text"], m["interrupted"]) for m in get(visit, f"/calls/{call.pk}/messages/").json()]

    assert said[1:] == [("At nine.", "At nine.", False), ("We are closed on Sundays.", "We are", True)]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 1),
        ("number=%2B15557001", 1),
        ("number=%2B15557002", 0),
        ("q=open", 1),
        ("q=OPEN+nine", 1),
        ("q=ope", 0),
        ("status=completed", 1),
        ("status=in-progress", 0),
    ],
)
def test_filters(call, visit, query, count):
    assert get(visit, f"/calls/?{query}").json()["count"] == count


def test_another_tenants_calls_are_neither_listed_nor_found(call, visit, bob):
    with entered(bob):
        his = make_finished_call()

    assert [c["id"] for c in get(visit, "/calls/").json()["results"]] == [str(call.pk)]
    assert get(visit, f"/calls/?call_sid={his.call_sid}").json()["count"] == 0
    for path in (f"/calls/{his.pk}/", f"/calls/{his.pk}/messages/", f"/calls/{his.pk}/events/"):
        assert get(visit, path).status_code == 404


def test_a_token_of_one_tenant_is_nothing_on_anothers_domain(call, visit, bob):
    assert get(visit, "/calls/", host="bob.test").status_code == 404


def test_without_a_token_nothing(call, visit):
    assert visit().get("/api/v1/calls/").status_code == 401
    assert visit().get("/api/v1/calls/", headers={"authorization": "Bearer nonsense"}).status_code == 401


def test_members_see_masked_numbers_and_no_lines(call, visit, member):
    (result,) = get(visit, "/calls/", email=member.email).json()["results"]

    assert result["from_number"] == "+1••••001"
    assert result["events"][0]["detail"] == {"to": "+1••••999"}
    assert get(visit, "/lines/", email=member.email).status_code == 403


def test_looking_is_written_down(call, visit):
    get(visit, f"/calls/{call.pk}/")
    get(visit, f"/calls/?call_sid={call.call_sid}")
    get(visit, f"/calls/{call.pk}/messages/")

    assert AuditEvent.objects.filter(action=AuditAction.CALL_VIEWED, target=f"call {call.pk}").count() == 3


def test_lists_take_the_same_queries_for_one_call_and_for_three(alice, visit, owner, django_assert_num_queries):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    counts = []
    for _ in range(2):
        with entered(alice):
            add_message(make_call(), 1, "user", "Hello.")
        client = visit(owner)
        with CaptureQueriesContext(connection) as captured:
            client.get("/api/v1/calls/")
        counts.append(len(captured))

    assert counts[0] == counts[1]


# --- lines -----------------------------------------------------------------------------------------------------------


def change(visit, line, values, email="owner@alice.test"):
    access = token(visit, email).json()["access"]
    path = f"/api/v1/lines/{line.pk}/"
    return visit().patch(path, values, content_type="application/json", headers={"authorization": f"Bearer {access}"})


def test_a_line_is_changed_and_it_is_written_down(alice, visit):
    with entered(alice):
        line = Line.objects.get(is_default=True)

    assert change(visit, line, {"greeting": "Good day.", "phone_number": "+15550111"}).status_code == 200

    with entered(alice):
        line.refresh_from_db()
    assert (line.greeting, line.phone_number) == ("Good day.", None)
    assert AuditEvent.objects.filter(action=AuditAction.LINE_CHANGED).exists()


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"tools": [{"a": 1}]}, "tools"),
        ({"tools": ["no_such_tool"]}, "tools"),
        ({"silence_goodbye_s": 5, "silence_prompt_s": 9}, "silence_goodbye_s"),
        ({"hours": [{"day": 1, "opens": "09:00+02:00", "closes": "10:00"}]}, "hours"),
        ({"time_zone": "Nowhere/Land"}, "time_zone"),
        ({"fallback_number": "0555"}, "fallback_number"),
        ({"temperature": 9}, "temperature"),
    ],
)
def test_a_line_that_would_break_calls_is_refused(alice, visit, values, field):
    with entered(alice):
        line = Line.objects.get(is_default=True)

    response = change(visit, line, values)

    assert (response.status_code, list(response.json())) == (400, [field])


# --- tokens ----------------------------------------------------------------------------------------------------------


def test_a_token_is_given_for_an_address_in_any_case_and_noted(alice, visit):
    assert set(token(visit, "OWNER@alice.test").json()) == {"access", "refresh"}
    assert AuditEvent.objects.filter(action=AuditAction.SIGNED_IN, target="token").exists()


@pytest.mark.parametrize(
    ("email", "password", "host"),
    [
        ("owner@alice.test", "wrong", "alice.test"),
        ("nobody@alice.test", PASSWORD, "alice.test"),
        ("owner@bob.test", PASSWORD, "alice.test"),  # a stranger
    ],
)
def test_no_token_for_others(alice, bob, visit, email, password, host):
    assert token(visit, email, password, host).status_code == 401


def test_a_second_factor_is_asked_for(owner, visit):
    secret = generate_totp_secret()
    data = {"secret": encrypt(secret.encode()).decode()}
    Authenticator.objects.create(user=owner, type=Authenticator.Type.TOTP, data=data)
    code = code_for(secret)

    assert token(visit).status_code == 401
    assert token(visit, code="000000").status_code == 401
    assert token(visit, code=code).status_code == 200


def test_guessing_is_slowed_whatever_the_client_says_of_its_address(alice, visit, settings):
    settings.ACCOUNT_RATE_LIMITS = {"login_failed": "10/m/ip,3/300s/key"}
    codes = [
        visit()
        .post(
            "/api/v1/token/",
            {"email": "owner@alice.test", "password": "wrong"},
            content_type="application/json",
            headers={"x-forwarded-for": f"10.0.0.{number}"},
        )
        .status_code
        for number in range(5)
    ]

    assert codes == [401, 401, 401, 429, 429]


def test_asking_for_tokens_rightly_is_not_guessing(alice, visit, settings):
    settings.ACCOUNT_RATE_LIMITS = {"login_failed": "10/m/ip,3/300s/key"}

    assert [token(visit).status_code for _ in range(6)] == [200] * 6


# --- the description -------------------------------------------------------------------------------------------------


def test_the_openapi_description_is_valid(db, tmp_path):
    call_command(
        "spectacular", "--validate", "--fail-on-warn", "--urlconf", "thanos.urls_api", "--file", tmp_path / "api.yml"
    )

    assert "/api/v1/calls/{id}/messages/" in (tmp_path / "api.yml").read_text()


def test_its_page_opens(alice, visit, member):
    assert visit(member).get("/api/docs/").status_code == 200
    assert visit(member).get("/api/schema/").status_code == 200
