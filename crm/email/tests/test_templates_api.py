"""REST: the same rules as on the pages."""

from __future__ import annotations

import pytest
from django.core import mail

from crm.email.models import EmailTemplate, Sequence, SequenceStep
from crm.email.tests.test_templates import HTML, make_template
from crm.tests.factories import make_contact
from tenants.context import entered
from tenants.enums import Scope
from tenants.models import Membership
from tenants.services.tokens import create_token

ROOT = "/api/v1/email-templates/"
NEW = {"name": "News", "subject": "Hi {{ first_name }}", "html": HTML}


@pytest.fixture
def call(visit, owner):
    """Ask the API as somebody, usually Alice's owner."""

    def ask(method, path="", data=None, user=owner, host="alice.test", **headers):
        client = visit(user, host)
        return getattr(client, method)(f"{ROOT}{path}", data, content_type="application/json", headers=headers)

    return ask


@pytest.fixture
def template(alice, owner):
    with entered(alice):
        return make_template(owner)


@pytest.fixture
def ann(alice):
    with entered(alice):
        return make_contact("Ann <Miller>", contact_email="ann@example.com")


def test_a_template_is_made_read_changed_and_deleted(alice, call):
    made = call("post", data=NEW)
    at = f"{made.json()['id']}/"
    changed = call("patch", at, {"subject": "Changed"})
    same = call("patch", at, {"name": "Other", "is_active": False})
    listed = call("get").json()["results"]
    gone = call("delete", at)

    assert made.status_code == 201
    expected = {
        **NEW,
        "text": "",
        "is_active": True,
        "version": 1,
        "variables": ["contact_name", "first_name"],
        "key": None,
    }
    assert {name: made.json()[name] for name in expected} == expected
    assert (changed.json()["version"], changed.json()["html"]) == (2, HTML)
    assert (same.json()["version"], same.json()["name"], same.json()["is_active"]) == (2, "Other", False)
    assert same.json() in listed
    assert (gone.status_code, call("get", at).status_code) == (204, 404)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 121}, "name"),
        ({"subject": ""}, "subject"),
        ({"subject": 5}, "subject"),
        ({"subject": "{{ zzz }}"}, "subject"),
        ({"html": ""}, "html"),
        ({"html": "\n{{ zzz }}"}, "html"),
        ({"html": "{% include 'x' %}"}, "html"),
        ({"text": "{{ zzz }}"}, "text"),
        ({"is_active": "perhaps"}, "is_active"),
        ({"version": 0}, "version"),
        ({"html": "\0"}, "html"),
    ],
)
def test_bad_input_names_the_field(alice, template, call, change, field):
    for answer in (call("post", data={**NEW, **change}), call("patch", f"{template.pk}/", change)):
        assert answer.status_code == 400
        assert list(answer.json()) == [field]
    with entered(alice):
        assert template.versions.count() == 1


def test_the_line_is_told(call):
    assert call("post", data={**NEW, "html": "\n{{ zzz }}"}).json() == {"html": ["Line 2: There is nothing called “zzz”."]}


def test_whoever_began_from_an_older_version_is_refused(alice, template, call):
    call("patch", f"{template.pk}/", {"subject": "Theirs", "version": 1})

    late = call("patch", f"{template.pk}/", {"subject": "Mine", "version": 1})

    assert (late.status_code, "version 2" in late.json()["detail"]) == (409, True)
    assert call("get", f"{template.pk}/").json()["subject"] == "Theirs"


def test_the_same_request_twice_makes_one(alice, call):
    first, second = (call("post", data=NEW, **{"Idempotency-Key": "k"}) for _ in range(2))

    assert first.json() == second.json()
    with entered(alice):
        assert EmailTemplate.objects.filter(name="News").count() == 1


def test_others_are_kept_out(alice, bob, template, call, member, stranger):
    with entered(bob):
        bobs = make_template(stranger, name="Bob's secret")
    actions = [("get", ""), ("get", "{}/"), ("get", "{}/versions/"), ("post", "{}/preview/"), ("post", "{}/restore/")]
    actions += [("post", ""), ("patch", "{}/"), ("put", "{}/"), ("delete", "{}/"), ("post", "{}/test/")]

    for method, where in actions:
        assert call(method, where.format(template.pk), NEW, user=None).status_code == 401
        assert call(method, where.format(template.pk), NEW, user=member).status_code == 403
        assert call(method, where.format(template.pk), NEW, user=stranger).status_code in (403, 404)
        if "{}" in where:
            assert call(method, where.format(bobs.pk + 1000), NEW).status_code == 404
    assert "Bob's secret" not in call("get").content.decode()
    with entered(alice):
        template.refresh_from_db()
        assert (template.deleted_at, template.current.number) == (None, 1)
    assert mail.outbox == []


def test_a_preview_shows_what_is_saved_or_what_is_asked_for(template, ann, call):
    saved = call("post", f"{template.pk}/preview/", {}).json()
    asked = call("post", f"{template.pk}/preview/", {"html": "<b>{{ contact_name }}</b>", "contact": ann.pk}).json()
    wrong = call("post", f"{template.pk}/preview/", {"html": "\n{{ zzz }}"})

    assert (saved["contact"], saved["subject"], saved["text"]) == (ann.pk, "Hi", "Hello Ann <Miller>")
    assert asked["html"] == "<b>Ann &lt;Miller&gt;</b>"
    assert [finding["level"] for finding in asked["findings"]] == ["info"]
    assert (wrong.status_code, wrong.json()) == (400, {"html": ["html, line 2: There is nothing called “zzz”."]})
    assert call("post", f"{template.pk}/preview/", {"contact": ann.pk + 100}).status_code == 400


def test_a_test_goes_to_whoever_asks(template, ann, call, owner):
    answer = call("post", f"{template.pk}/test/", {"contact": ann.pk})

    assert answer.json() == {"sent_to": owner.email}
    assert [message.to for message in mail.outbox] == [[owner.email]]


def test_a_token_sees_a_contact_only_where_it_may_read_contacts(alice, template, ann, visit, owner):
    membership = Membership.objects.get(tenant=alice, user=owner)

    def ask(action, data, *scopes):
        _, secret = create_token(tenant=alice, name="t", scopes=[Scope.EMAIL_WRITE, *scopes], actor=membership)
        headers = {"authorization": f"Bearer {secret}"}
        return visit().post(f"{ROOT}{template.pk}/{action}/", data, content_type="application/json", headers=headers)

    for action in ("preview", "test"):
        refused = ask(action, {"contact": ann.pk})
        assert (refused.status_code, "contacts:read" in refused.json()["detail"]) == (403, True)
        assert ask(action, {"contact": ann.pk}, Scope.CONTACTS_READ).status_code == 200
    examples = ask("preview", {})
    hers = ask("preview", {}, Scope.CONTACTS_READ)
    assert (examples.json()["contact"], examples.json()["text"]) == (None, "Hello Ann Miller")
    assert (hers.json()["contact"], hers.json()["text"]) == (ann.pk, "Hello Ann <Miller>")


def test_versions_and_restoring(alice, template, call):
    call("patch", f"{template.pk}/", {"subject": "Second"})

    listed = call("get", f"{template.pk}/versions/").json()["results"]
    restored = call("post", f"{template.pk}/restore/", {"version": 1}).json()

    assert [(version["number"], version["subject"]) for version in listed] == [(2, "Second"), (1, "Hi")]
    assert (restored["version"], restored["subject"]) == (3, "Hi")
    assert call("post", f"{template.pk}/restore/", {"version": 9}).status_code == 400


def test_a_template_in_use_is_not_deleted(alice, template, call):
    with entered(alice):
        sequence = Sequence.objects.create(name="Series")
        SequenceStep.objects.create(sequence=sequence, position=1, wait_hours=0, template=template)

    answer = call("delete", f"{template.pk}/")

    assert (answer.status_code, "Series" in answer.json()["detail"]) == (409, True)
