"""REST: the same rules as on the pages."""

from __future__ import annotations

from datetime import timedelta

import pytest

from crm.email.enums import EnrolmentState
from crm.email.models import Enrolment, SequenceStep
from crm.email.models import Sequence as EmailSequence
from crm.email.tests.sequencing import draft, enrol, make_sequence, template
from crm.tests.factories import make_contact
from tenants.context import entered
from tenants.enums import AuditAction, Scope
from tenants.models import AuditEvent, Membership
from tenants.services.tokens import create_token


@pytest.fixture
def call(visit, owner):
    """Ask the API as somebody, usually Alice's owner."""

    def ask(method, path, data=None, user=owner, host="alice.test", **headers):
        return getattr(visit(user, host), method)(f"/api/v1/{path}", data, content_type="application/json", headers=headers)

    return ask


@pytest.fixture
def sequence(alice):
    with entered(alice):
        return make_sequence(draft(), draft(24, "follow-up"))


@pytest.fixture
def bobs(bob):
    with entered(bob):
        enrol(make_sequence(name="Bob's secret project"))
    yield
    with entered(bob):
        assert EmailSequence.objects.kept().count() == 1
        assert Enrolment.objects.get().state == EnrolmentState.ACTIVE


def test_a_sequence_is_made_read_changed_and_deleted(call, alice, bobs):
    with entered(alice):
        welcome, follow_up = template().pk, template("follow-up").pk

    made = call("post", "sequences/", {"name": "Spring", "steps": [{"wait_hours": 0, "template": welcome}]})
    body = made.json()
    assert (made.status_code, body["name"], body["is_active"]) == (201, "Spring", False)
    [step] = body["steps"]
    assert step == {**step, "wait_hours": 0, "template": welcome, "condition": "always", "status": "", "otherwise": "skip"}
    assert made["Location"].endswith(f"/api/v1/sequences/{body['id']}/")
    assert call("get", f"sequences/{body['id']}/").json() == body
    assert [row["id"] for row in call("get", "sequences/").json()["results"]] == [body["id"]]

    new = {"wait_hours": 24, "template": follow_up, "condition": "not-opened", "otherwise": "end"}
    changed = call("put", f"sequences/{body['id']}/", {"name": "Autumn", "is_active": True, "steps": [step, new]}).json()
    assert (changed["name"], changed["is_active"], changed["steps"][0]) == ("Autumn", True, step)
    assert changed["steps"][1] == {**new, "id": changed["steps"][1]["id"], "status": ""}
    renamed = call("patch", f"sequences/{body['id']}/", {"name": "Winter"}).json()
    assert (renamed["name"], renamed["is_active"], renamed["steps"]) == ("Winter", True, changed["steps"])

    assert call("delete", f"sequences/{body['id']}/").status_code == 204
    assert call("get", f"sequences/{body['id']}/").status_code == 404


def test_the_same_request_twice_makes_one(call, alice):
    with entered(alice):
        data = {"name": "Spring", "steps": [{"wait_hours": 0, "template": template().pk}]}

    first, second = (call("post", "sequences/", data, **{"idempotency-key": "k1"}) for _ in range(2))

    assert first.json() == second.json()
    with entered(alice):
        assert EmailSequence.objects.count() == 1


@pytest.mark.parametrize(
    ("data", "status", "field"),
    [
        ({"name": ""}, 400, "name"),
        ({"name": 5}, 400, "name"),
        ({"is_active": "yes"}, 400, "is_active"),
        ({"is_active": True, "steps": []}, 400, "is_active"),
        ({"steps": [{"wait_hours": -1}]}, 400, "steps"),
        ({"steps": [{"wait_hours": 0, "template": 10**18}]}, 400, "steps"),
        ({"steps": [{"condition": "opened"}]}, 400, "steps"),
        ({"steps": [{"condition": "status-is"}]}, 400, "steps"),
        ({"steps": [{}] * 31}, 400, "steps"),
        ({"steps": [{"id": 999_999}]}, 409, "detail"),
        ({"version": 1}, 409, "detail"),
    ],
)
def test_what_makes_no_sense_is_refused(call, alice, sequence, data, status, field):
    with entered(alice):
        plain = {"wait_hours": 24, "template": template().pk}
        before = list(SequenceStep.objects.values())
    if "steps" in data:
        data = {**data, "steps": [plain | step for step in data["steps"]]}

    response = call("patch", f"sequences/{sequence.pk}/", data)

    assert (response.status_code, list(response.json())) == (status, [field])
    with entered(alice):
        assert list(SequenceStep.objects.values()) == before


def test_a_contact_is_enrolled_listed_and_stopped(call, alice, sequence, owner, bobs):
    with entered(alice):
        contact = make_contact(contact_email="ann@example.com")
        enrol(make_sequence(name="Other"), 2)

    made = call("post", "enrolments/", {"sequence": sequence.pk, "contact": contact.pk})
    body = made.json()
    assert (made.status_code, body["sequence"], body["contact"], body["state"]) == (201, sequence.pk, contact.pk, "active")
    again = call("post", "enrolments/", {"sequence": sequence.pk, "contact": contact.pk})
    assert (again.status_code, again.json()["detail"][:21]) == (409, "This contact was enro")

    for query in (f"sequence={sequence.pk}", f"contact={contact.pk}", f"state=active&contact={contact.pk}"):
        assert call("get", f"enrolments/?{query}").json()["results"] == [body]
    assert len(call("get", "enrolments/").json()["results"]) == 2
    assert call("get", "enrolments/?state=done").json()["results"] == []
    stopped = call("post", f"enrolments/{body['id']}/stop/").json()
    assert (stopped["state"], stopped["due_at"]) == ("stopped", None)
    assert call("post", f"enrolments/{body['id']}/stop/").json() == stopped
    targets = AuditEvent.objects.filter(actor=owner, action=AuditAction.SEQUENCE_CHANGED).order_by("pk")
    assert [event.target for event in targets] == [
        f"contact {contact.pk} into Spring",
        f"contact {contact.pk} out of Spring",
    ]


def test_an_enrolment_can_begin_later(call, alice, sequence):
    with entered(alice):
        contact = make_contact(contact_email="ann@example.com")
    start = "2027-01-04T09:00:00Z"

    body = call("post", "enrolments/", {"sequence": sequence.pk, "contact": contact.pk, "start_at": start}).json()

    assert body["due_at"] == start


@pytest.mark.parametrize("query", ["state=nonsense", "sequence=x", "contact=99999999999999999999"])
def test_a_filter_that_is_not_understood_is_refused(call, query):
    assert call("get", f"enrolments/?{query}").status_code == 400


def test_what_is_bobs_cannot_be_used(call, alice, bob, sequence, bobs):
    with entered(bob):
        for number in range(5, 10):
            theirs = make_contact(f"Bob's {number}", contact_email=f"b{number}@example.com")

    response = call("post", "enrolments/", {"sequence": sequence.pk, "contact": theirs.pk})

    assert (response.status_code, list(response.json())) == (400, ["contact"])
    assert "secret" not in call("get", "sequences/").content.decode()
    with entered(alice):
        assert not Enrolment.objects.exists()


def test_who_may_ask(call, visit, member, stranger, alice, owner, sequence):
    for route in ("sequences/", "enrolments/", f"sequences/{sequence.pk}/"):
        answers = [call("get", route, user=user).status_code for user in (member, stranger, None)]
        assert answers == [403, 404, 401]


def test_tokens_need_the_scope(alice, visit, owner, sequence):
    membership = Membership.objects.get(tenant=alice, user=owner)

    def answers(*scopes):
        _, secret = create_token(tenant=alice, name="t", scopes=scopes, actor=membership)
        ask = {"authorization": f"Bearer {secret}"}
        reading = visit().get("/api/v1/sequences/", headers=ask).status_code
        writing = visit().delete(f"/api/v1/sequences/{sequence.pk}/", headers=ask).status_code
        return reading, writing

    assert answers(Scope.CONTACTS_READ, Scope.CONTACTS_WRITE) == (403, 403)
    assert answers(Scope.EMAIL_READ) == (200, 403)
    assert answers(Scope.EMAIL_READ, Scope.EMAIL_WRITE) == (200, 204)


def test_a_start_too_far_ahead_is_refused(call, alice, sequence):
    from django.utils import timezone

    with entered(alice):
        contact = make_contact(contact_email="ann@example.com")
    start = (timezone.now() + timedelta(days=400)).isoformat()

    response = call("post", "enrolments/", {"sequence": sequence.pk, "contact": contact.pk, "start_at": start})

    assert (response.status_code, response.json()["detail"]) == (409, "Begin within a year.")
