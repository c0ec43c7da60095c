"""REST of mailings, messages and the suppression list: the same rules as on the pages."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator

from crm.email.enums import MailingState, MessageState, SkipReason
from crm.email.models import EmailTemplate, Mailing, Suppression
from crm.email.tests.mailing_factories import NOON, make_mailing, make_message, make_suppression, make_template
from crm.models import SavedView
from crm.tests.factories import make_contact
from tenants.context import entered

ROOT = "/api/v1/"
ACTIONS = ["start", "pause", "resume", "cancel"]


@pytest.fixture
def call(visit, owner):
    """Ask the API as somebody, usually Alice's owner."""

    def ask(method, path, data=None, user=owner, **headers):
        return getattr(visit(user), method)(f"{ROOT}{path}", data, content_type="application/json", headers=headers)

    return ask


@pytest.fixture
def people(alice):
    with entered(alice):
        return [
            make_contact("Ann Example", contact_email="ann@example.com"),
            make_contact("Ben Example", contact_email="ben@example.com"),
            make_contact("Cleo Example"),
        ]


@pytest.fixture
def template(alice):
    with entered(alice):
        return make_template()


@pytest.fixture
def draft(alice, people, template, owner):
    with entered(alice):
        return make_mailing(template=template, user=owner)


@pytest.fixture
def bobs(bob):
    with entered(bob):
        mailing = make_mailing("Bob's secret", pk=1_000_005, state=MailingState.SENDING)
        return mailing, make_message(mailing), make_suppression("secret@bob.test")


def state_of(tenant, mailing):
    with entered(tenant):
        return Mailing.objects.get(pk=mailing.pk).state


# --- mailings --------------------------------------------------------------------------------------------------------


def test_a_draft_is_made_for_contacts(alice, call, people, template):
    ids = [people[0].pk, people[1].pk]

    made = call("post", "mailings/", {"name": "Fair", "template": template.pk, "contact_ids": ids})

    assert made.status_code == 201
    body = made.json()
    assert (body["name"], body["template"], body["version"], body["state"]) == ("Fair", template.pk, 1, "draft")
    assert (body["contact_ids"], body["query"], body["figures"]) == (ids, "", None)
    assert made["Location"].endswith(f"/api/v1/mailings/{body['id']}/")
    assert call("get", f"mailings/{body['id']}/").json() == body


def test_a_draft_is_made_for_a_filter_or_a_view(alice, call, template, owner, admin):
    with entered(alice):
        view = SavedView.objects.create(name="Ulm", query="city=Ulm", user=owner)
        private = SavedView.objects.create(name="Private", query="city=Bonn", user=admin)
    new = {"name": "Fair", "template": template.pk, "skip_empty_values": False}

    assert call("post", "mailings/", {**new, "query": "status=lead&city=Ulm"}).json()["query"] == "city=Ulm&status=lead"
    assert call("post", "mailings/", {**new, "view": view.pk}).json()["query"] == "city=Ulm"
    everybody = call("post", "mailings/", {**new, "query": ""}).json()
    assert (everybody["query"], everybody["contact_ids"], everybody["skip_empty_values"]) == ("", None, False)
    assert "view" in call("post", "mailings/", {**new, "view": private.pk}).json()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": 5}, "name"),
        ({"template": 999_999}, "template"),
        ({"template": "x"}, "template"),
        ({"query": "status=nonsense"}, "query"),
        ({"query": None}, "query"),
        ({"contact_ids": [1]}, "non_field_errors"),  # two ways at once
        ({"skip_empty_values": "no"}, "skip_empty_values"),
    ],
)
def test_bad_input_makes_nothing(alice, call, template, change, field):
    answer = call("post", "mailings/", {"name": "Fair", "template": template.pk, "query": "", **change})

    assert (answer.status_code, field in answer.json()) == (400, True)
    with entered(alice):
        assert not Mailing.objects.exists()


def test_recipients_must_be_said(call, template):
    assert call("post", "mailings/", {"name": "Fair", "template": template.pk}).status_code == 400


def test_creating_and_starting_twice_with_one_key_happen_once(alice, call, people, template):
    new = {"name": "Fair", "template": template.pk, "query": ""}
    first, second = (call("post", "mailings/", new, **{"Idempotency-Key": "k1"}) for _ in range(2))

    assert (first.json(), second["Idempotent-Replayed"]) == (second.json(), "true")
    path = f"mailings/{first.json()['id']}/start/"
    started, again = (call("post", path, {}, **{"Idempotency-Key": "k2"}) for _ in range(2))
    assert (started.status_code, again.status_code, started.json()["state"]) == (200, 200, "preparing")
    assert call("post", path, {}).status_code == 409
    with entered(alice):
        assert Mailing.objects.count() == 1


def test_the_audience_is_counted(call, draft, bobs):
    assert call("get", f"mailings/{draft.pk}/audience/").json() == {
        "total": 3,
        "receiving": 2,
        "left_out": {"no-address": 1},
    }


def test_a_selection_that_is_not_understood_is_a_conflict(alice, call, draft):
    with entered(alice):
        Mailing.objects.update(query="cf_gone=1")

    assert call("get", f"mailings/{draft.pk}/audience/").status_code == 409
    assert call("post", f"mailings/{draft.pk}/start/", {}).status_code == 409


def test_starting_at_a_time(alice, call, draft):
    at = timezone.now() + timedelta(days=1)

    answer = call("post", f"mailings/{draft.pk}/start/", {"when": "at", "send_at": at.isoformat()})

    assert (answer.status_code, answer.json()["state"], answer.json()["when"]) == (200, "scheduled", "at")


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"when": "sometime"}, "when"),
        ({"when": "at"}, "send_at"),
        ({"when": "at", "send_at": "2020-01-01T00:00:00Z"}, "send_at"),
    ],
)
def test_bad_times_start_nothing(alice, call, draft, values, field):
    answer = call("post", f"mailings/{draft.pk}/start/", values)

    assert (answer.status_code, list(answer.json())) == (400, [field])
    assert state_of(alice, draft) == MailingState.DRAFT


def test_what_cannot_be_sent_is_a_conflict(alice, call, draft, people, settings):
    with entered(alice):
        Mailing.objects.update(contact_ids=[people[2].pk])
    nobody = call("post", f"mailings/{draft.pk}/start/", {})
    settings.EMAIL_IS_DELIVERED = False
    nowhere = call("post", f"mailings/{draft.pk}/start/", {})

    assert (nobody.status_code, nowhere.status_code) == (409, 409)
    assert "Nobody" in nobody.json()["detail"] and "No way of sending" in nowhere.json()["detail"]
    assert state_of(alice, draft) == MailingState.DRAFT


def test_a_template_that_is_off_is_refused(alice, call, draft, template):
    with entered(alice):
        EmailTemplate.objects.filter(pk=template.pk).update(is_active=False)

    assert list(call("post", f"mailings/{draft.pk}/start/", {}).json()) == ["template"]


def test_pausing_resuming_cancelling_and_deleting(alice, call, draft):
    call("post", f"mailings/{draft.pk}/start/", {})

    paused = call("post", f"mailings/{draft.pk}/pause/").json()
    assert (paused["state"], paused["pause_reason"]) == ("paused", "person")
    assert call("post", f"mailings/{draft.pk}/resume/").json()["state"] == "preparing"
    assert call("post", f"mailings/{draft.pk}/cancel/").json()["state"] == "canceled"
    for name in ("pause", "resume", "cancel"):
        assert call("post", f"mailings/{draft.pk}/{name}/").status_code == 409
    assert call("delete", f"mailings/{draft.pk}/").status_code == 409


def test_a_draft_is_deleted(alice, call, draft):
    assert call("delete", f"mailings/{draft.pk}/").status_code == 204
    assert call("get", f"mailings/{draft.pk}/").status_code == 404


def test_figures_are_null_where_they_are_unknown(alice, call):
    with entered(alice):
        done = make_mailing(state=MailingState.DONE, finished_at=NOON)
        make_message(done, state=MessageState.DELIVERED, opened_at=NOON)
        make_message(done, state=MessageState.SKIPPED, skip_reason=SkipReason.BOUNCED)

    found = call("get", f"mailings/{done.pk}/").json()["figures"]

    assert (found["recipients"], found["skipped"], found["delivered"], found["opened"]) == (1, 1, 1, 1)
    assert found["states"] == {"delivered": 1, "skipped": 1}


def test_the_list_is_newest_first_and_without_figures(alice, call, bobs):
    with entered(alice):
        pks = [make_mailing(str(number)).pk for number in range(3)]

    found = call("get", "mailings/?page_size=2").json()

    assert [row["id"] for row in found["results"]] == [pks[2], pks[1]]
    assert not {"figures", "contact_ids"} & set(found["results"][0])
    assert found["next"]


# --- messages --------------------------------------------------------------------------------------------------------


def test_messages_are_filtered(alice, call, people, bobs):
    with entered(alice):
        mailing = make_mailing(state=MailingState.DONE)
        ann = make_message(mailing, contact=people[0])
        ben = make_message(mailing, contact=people[1], state=MessageState.BOUNCED)
        letter = make_message(contact=people[0], subject="By hand", text="…", queued_at=NOON + timedelta(days=1))

    def ids(query=""):
        return [row["id"] for row in call("get", f"emails/{query}").json()["results"]]

    assert ids()[0] == str(letter.pk) and len(ids()) == 3
    assert ids(f"?contact={people[0].pk}") == [str(letter.pk), str(ann.pk)]
    assert sorted(ids(f"?mailing={mailing.pk}")) == sorted([str(ann.pk), str(ben.pk)])
    assert ids(f"?mailing={mailing.pk}&state=bounced") == [str(ben.pk)]
    assert ids(f"?mailing={bobs[0].pk}") == []


def test_a_message_says_what_became_of_it_but_not_what_it_was_made_of(alice, call, people):
    with entered(alice):
        message = make_message(contact=people[0], subject="Hello", text="secret words", opened_at=NOON)

    found = call("get", f"emails/{message.pk}/").json()

    assert (found["to_email"], found["subject"], found["state"]) == ("ann@example.com", "Hello", "delivered")
    assert found["opened_at"] == "2026-11-20T12:00:00Z"
    assert "text" not in found and "values" not in found
    assert call("post", "emails/", {}).status_code == 405
    assert call("delete", f"emails/{message.pk}/").status_code == 405


@pytest.mark.parametrize("query", ["?contact=x", "?mailing=-1", "?state=nonsense", "?contact=²"])
def test_bad_filters_are_refused(call, query):
    assert call("get", f"emails/{query}").status_code == 400


# --- the suppression list --------------------------------------------------------------------------------------------


def test_an_address_is_put_on_found_and_taken_off(alice, bob, call, bobs):
    made = call("post", "suppressions/", {"email": "ann@example.com"})
    again = call("post", "suppressions/", {"email": "ANN@example.com"})

    assert (made.status_code, again.status_code) == (201, 200)
    assert made.json()["reason"] == "person" and again.json() == made.json()
    found = call("get", "suppressions/?email=Ann@example.com").json()["results"]
    assert [row["id"] for row in found] == [made.json()["id"]]
    assert call("get", "suppressions/?email=secret@bob.test").json()["results"] == []
    assert call("delete", f"suppressions/{made.json()['id']}/").status_code == 204
    assert call("get", "suppressions/").json()["results"] == []
    assert call("delete", f"suppressions/{made.json()['id']}/").status_code == 404
    with entered(bob):
        assert Suppression.objects.standing().count() == 1


@pytest.mark.parametrize("values", [{"email": "x"}, {"email": "a@b.example", "reason": "bounced"}, {}, {"email": 5}])
def test_bad_entries_are_refused(alice, call, values):
    assert call("post", "suppressions/", values).status_code == 400
    with entered(alice):
        assert not Suppression.objects.exists()


# --- walls -----------------------------------------------------------------------------------------------------------


def test_another_tenants_rows_are_not_found(bob, call, bobs):
    mailing, message, suppression = bobs
    at = f"mailings/{mailing.pk}/"

    assert [call("get", path).status_code for path in (at, f"{at}audience/", f"emails/{message.pk}/")] == [404] * 3
    assert {call("post", f"{at}{name}/", {}).status_code for name in ACTIONS} == {404}
    assert {call("delete", path).status_code for path in (at, f"suppressions/{suppression.pk}/")} == {404}
    assert state_of(bob, mailing) == MailingState.SENDING
    assert call("get", f"emails/{uuid.uuid4()}/").status_code == 404


def test_only_managers_are_let_in(alice, call, draft, member, stranger):
    for user, code in ((member, 403), (stranger, 404), (None, 401)):
        for path in ("mailings/", f"mailings/{draft.pk}/", "emails/", "suppressions/"):
            assert call("get", path, user=user).status_code == code, (path, user)
        assert call("post", f"mailings/{draft.pk}/start/", {}, user=user).status_code == code

    assert state_of(alice, draft) == MailingState.DRAFT


def test_the_description_of_these_routes_has_no_gaps(db, capsys):
    schema = SchemaGenerator(urlconf="thanos.urls_api").get_schema(public=True)

    paths = [path for path in schema["paths"] if any(part in path for part in ("mailings", "emails", "suppressions"))]
    assert len(paths) == 12
    said = capsys.readouterr().err
    assert not [line for line in said.splitlines() if "crm/email/api/m" in line or "crm/email/api/supp" in line]


def test_what_is_long_is_read_only_where_it_is_shown(alice, call):
    with entered(alice):
        done = make_mailing(state=MailingState.DONE, contact_ids=[1])

    def reads(path):
        with CaptureQueriesContext(connection) as queries:
            assert call("get", path).status_code == 200
        words = " ".join(query["sql"] for query in queries)
        return [name for name in ("contact_ids", '"crm_email_emailtemplateversion"."html"') if name in words]

    assert reads("mailings/") == []
    assert reads(f"mailings/{done.pk}/") == ["contact_ids"]
