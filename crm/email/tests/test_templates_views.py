"""The pages of templates: who may see them, what they show, what their buttons do."""

from __future__ import annotations

import re

import pytest
from django.core import mail
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from crm.email.models import EmailTemplate
from crm.email.tests.test_templates import HTML, make_template
from crm.tests.factories import make_contact
from tenants.context import entered

LIST = "/crm/email/templates/"
FORM = {"name": "News", "subject": "Hi {{ first_name }}", "html": HTML, "text": "", "is_active": "on"}
BUTTONS = ["copy", "switch", "delete", "undelete", "versions/1/restore"]


@pytest.fixture
def template(alice, owner):
    with entered(alice):
        return make_template(owner, name="Alice's news")


@pytest.fixture
def ann(alice):
    with entered(alice):
        return make_contact("Ann <Miller>", contact_email="ann@example.com", city="Springfield")


@pytest.fixture
def bobs(bob, stranger):
    with entered(bob):
        make_contact("Bea Bobson", contact_email="bea@example.com")
        return make_template(stranger, name="Bob's secret news", subject="Bob's secret")


def pages(template):
    return [LIST, f"{LIST}new/", f"{LIST}{template.pk}/", f"{LIST}{template.pk}/versions/"]


def buttons(template):
    return [f"{LIST}{template.pk}/{name}/" for name in BUTTONS]


def everything(tenant):
    with entered(tenant):
        rows = EmailTemplate.objects.order_by("pk")
        return list(rows.values()), [list(row.versions.values()) for row in rows]


def frame_of(page):
    return re.search(r'<iframe[^>]* sandbox="" src="([^"]+)"', page).group(1)


# --- who -------------------------------------------------------------------------------------------------------------


def test_pages_open_for_owners_and_admins(template, visit, owner, admin):
    for user in (owner, admin):
        assert [visit(user).get(path).status_code for path in pages(template)] == [200] * 4


def test_others_see_and_change_nothing(alice, template, visit, member, stranger):
    before = everything(alice)

    for path in [*pages(template), f"{LIST}preview/x/1/"]:
        assert visit().get(path).url.startswith("/accounts/login/")
        assert visit(member).get(path).status_code == 403
        assert visit(stranger).get(path).status_code == 404
    for path in [*buttons(template), f"{LIST}new/", f"{LIST}{template.pk}/"]:
        for do in ("save", "test", "preview"):
            assert visit().post(path, {**FORM, "do": do}).url.startswith("/accounts/login/")
            assert visit(member).post(path, {**FORM, "do": do}).status_code == 403
            assert visit(stranger).post(path, {**FORM, "do": do}).status_code == 404

    assert everything(alice) == before
    assert mail.outbox == []


def test_another_tenants_templates_are_not_found(alice, template, bobs, bob, visit, owner):
    before = everything(bob)
    with entered(alice):
        EmailTemplate.objects.filter(pk=bobs.pk).update(deleted_at=template.created_at)  # rows of two schemas share numbers
    missing = bobs.pk + 1000

    for path in (f"{LIST}{missing}/", f"{LIST}{missing}/versions/"):
        assert visit(owner).get(path).status_code == 404
    for name in BUTTONS:
        assert visit(owner).post(f"{LIST}{missing}/{name}/").status_code == 404
    assert "Bob" not in visit(owner).get(LIST).content.decode()
    assert everything(bob) == before


def test_wrong_methods(template, visit, owner):
    assert [visit(owner).get(path).status_code for path in buttons(template)] == [405] * 5
    assert visit(owner).post(LIST).status_code == 405
    assert visit(owner).post(f"{LIST}{template.pk}/versions/").status_code == 405


def test_posting_needs_the_token_of_the_form(template, owner):
    client = Client(enforce_csrf_checks=True, headers={"host": "alice.test", "x-forwarded-proto": "https"})
    client.force_login(owner)

    assert [client.post(path).status_code for path in [*buttons(template), f"{LIST}new/"]] == [403] * 6


# --- the list --------------------------------------------------------------------------------------------------------


def test_an_empty_list_says_what_to_do(alice, visit, owner):
    with entered(alice):
        EmailTemplate.objects.update(deleted_at="2026-01-01T00:00Z")

    page = visit(owner).get(LIST).content.decode()

    assert "Write it once, send it often" in page
    assert f"{LIST}new/" in page


def test_the_list_takes_the_same_queries_for_three_and_for_six(alice, visit, owner):
    client = visit(owner)
    client.get(LIST)
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as queries:
            client.get(LIST)
        counts.append(len(queries))
        with entered(alice):
            for number in range(3):
                make_template(owner, name=f"T{number}")

    assert counts[0] == counts[1]


def test_the_buttons_of_the_list(alice, template, visit, owner):
    client = visit(owner)
    at = f"{LIST}{template.pk}/"

    copy = client.post(f"{at}copy/")
    client.post(f"{at}switch/", {"to": "off"})
    off = client.get(LIST).content.decode()
    deleted = client.post(f"{at}delete/", follow=True).content.decode()
    gone = client.get(at).status_code
    back = client.post(f"{at}undelete/", follow=True).content.decode()

    assert "Copy of Alice" in client.get(copy.url).content.decode()
    assert "Switch on" in off
    assert "is deleted." in deleted
    assert gone == 404
    assert "is back." in back
    with entered(alice):
        template.refresh_from_db()
        assert (template.deleted_at, template.is_active) == (None, False)


# --- the editor ------------------------------------------------------------------------------------------------------


def test_writing_a_template(alice, ann, visit, owner):
    answer = visit(owner).post(f"{LIST}new/", {**FORM, "do": "save"})

    with entered(alice):
        template = EmailTemplate.objects.get(name="News")
        assert answer.url == f"{LIST}{template.pk}/"
        version = template.current
    assert (version.subject, version.html, version.created_by_id) == (FORM["subject"], HTML, owner.pk)
    page = visit(owner).get(answer.url).content.decode()
    assert "{{ contact_name }}" in page
    assert "As <strong>Ann &lt;Miller&gt;</strong> would get it" in page
    assert "<strong>Hi Ann</strong>" in page


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": ""}, "This field is required"),
        ({"html": ""}, "Write what the e-mail says."),
        ({"html": "a\n{{ zzz }}"}, "<strong>Line 2:</strong> There is nothing called “zzz”."),
        ({"subject": "{% if %}"}, "<strong>Line 1:</strong> Expected an expression"),
        ({"text": "{% include 'x' %}"}, "“include” cannot be used in an e-mail."),
        ({"subject": "x" * 401}, "at most 400 characters"),
        ({"number": "x"}, "News"),
    ],
)
def test_mistakes_are_shown_beside_their_field_and_nothing_is_lost(alice, template, visit, owner, change, words):
    before = everything(alice)

    for path in (f"{LIST}new/", f"{LIST}{template.pk}/"):
        answer = visit(owner).post(path, {**FORM, "do": "save", **change})
        page = answer.content.decode()
        assert (answer.status_code, words in page) == (422, True)
        assert 'value="News"' in page or not change.get("name", "News")

    assert everything(alice) == before


def test_two_people_edit_one_template(alice, template, visit, owner, admin):
    at = f"{LIST}{template.pk}/"
    form = {**FORM, "do": "save", "number": "1"}
    visit(admin).post(at, {**form, "subject": "Theirs"})

    second = visit(owner).post(at, {**form, "subject": "Mine", "html": "<p>My words</p>"})

    page = second.content.decode()
    assert second.status_code == 409
    assert "Somebody else saved this template meanwhile" in page
    assert "Theirs" in page
    assert "My words" in page
    assert 'name="number" value="2"' in page
    decided = visit(owner).post(
        at, {**form, "number": "2", "subject": "Mine", "html": "<p>My words</p>", "take_subject": "on"}
    )
    assert decided.status_code == 302
    with entered(alice):
        template.refresh_from_db()
        assert (template.current.number, template.current.subject) == (3, "Theirs")
        assert template.current.html == "<p>My words</p>"


def test_other_buttons_save_nothing(alice, template, ann, visit, owner):
    before = everything(alice)

    for data in ({"do": "preview"}, {"do": "test"}, {"show": str(ann.pk)}, {}):
        assert visit(owner).post(f"{LIST}{template.pk}/", {**FORM, **data}).status_code == 200

    assert everything(alice) == before


# --- the preview -----------------------------------------------------------------------------------------------------


def test_what_is_not_saved_yet_is_shown_as_a_contact_would_get_it(alice, ann, bobs, visit, owner):
    with entered(alice):
        other = make_contact("Zoe", contact_email="zoe@example.com")
    client = visit(owner)

    def show(**data):
        return client.post(f"{LIST}new/", {**FORM, "html": "<p>Dear {{ contact_name }}</p>", **data}).content.decode()

    newest, chosen, kept = show(do="preview"), show(show=ann.pk), show(do="preview", contact=ann.pk)
    found = show(do="preview", find="zoe", contact=ann.pk)
    foreign = show(do="preview", find="Bea")

    assert "As <strong>Zoe</strong>" in newest
    assert "As <strong>Ann &lt;Miller&gt;</strong>" in chosen
    assert "As <strong>Ann &lt;Miller&gt;</strong>" in kept
    assert f'name="show" value="{other.pk}"' in found
    assert "No contact fits “Bea”" in foreign
    assert "Bobson" not in newest + chosen + kept + found + foreign
    frame = client.get(frame_of(chosen))
    assert frame.content.decode() == "<p>Dear Ann &lt;Miller&gt;</p>"


def test_the_frame_lets_nothing_run_and_nothing_out(alice, ann, visit, owner):
    html = "<script>alert(1)</script><p onclick='x()'>{{ contact_name }}</p>"
    client = visit(owner)
    page = client.post(f"{LIST}new/", {**FORM, "html": html, "do": "preview"}).content.decode()

    frame = client.get(frame_of(page))

    policy = frame["Content-Security-Policy"]
    assert "<script>alert(1)</script>" in frame.content.decode()
    assert "<script>alert(1)</script>" not in page
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert policy.endswith("; sandbox")
    assert "frame-ancestors 'self'" in policy
    assert frame["X-Frame-Options"] == "SAMEORIGIN"
    assert frame["Referrer-Policy"] == "no-referrer"
    assert "no-store" in frame["Cache-Control"]


def test_a_draft_is_its_writers_alone(alice, bob, ann, visit, owner, admin, stranger):
    page = visit(owner).post(f"{LIST}new/", {**FORM, "do": "preview"}).content.decode()
    at = frame_of(page)

    assert visit(owner).get(at).status_code == 200
    assert visit(admin).get(at).status_code == 404
    assert visit(stranger, "bob.test").get(at).status_code == 404
    cache.clear()
    expired = visit(owner).get(at)
    assert (expired.status_code, "no longer kept" in expired.content.decode()) == (404, True)


def test_while_typing_only_the_preview_and_the_findings_come(alice, ann, visit, owner):
    headers = {"HX-Request": "true"}

    good = visit(owner).post(f"{LIST}new/", {**FORM, "do": "preview"}, headers=headers).content.decode()
    bad = visit(owner).post(f"{LIST}new/", {**FORM, "html": "\n{{ zzz", "do": "preview"}, headers=headers)

    assert "<html" not in good
    assert good.count('hx-swap-oob="true"') == 3
    assert "<iframe" in good
    assert bad.status_code == 200
    assert "HTML, line 2" in bad.content.decode()
    assert "<iframe" not in bad.content.decode()


def test_the_checks_are_shown(alice, ann, visit, owner):
    html = '<p>{{ website }}</p>\n<a href="#">x</a>'

    page = visit(owner).post(f"{LIST}new/", {**FORM, "html": html, "do": "preview"}).content.decode()

    assert "<code>website</code> is empty for 1 of 1 contacts with an address" in re.sub(r"\s+", " ", page)
    assert "<strong>Line 2:</strong> The link “#” leads nowhere." in page
    assert "It has no link to unsubscribe." in page


def test_without_contacts_there_are_examples(alice, visit, owner):
    page = visit(owner).post(f"{LIST}new/", {**FORM, "do": "preview"}).content.decode()

    assert "There is no contact yet: these are examples." in page
    assert "Ann Miller" in visit(owner).get(frame_of(page)).content.decode()


def test_a_test_is_sent_of_what_is_written(alice, ann, template, visit, owner):
    data = {**FORM, "subject": "Unsaved for {{ city }}", "do": "test", "contact": ann.pk}

    page = visit(owner).post(f"{LIST}{template.pk}/", data).content.decode()

    (message,) = mail.outbox
    assert (message.to, message.subject) == ([owner.email], "Unsaved for Springfield")
    assert "Unsaved for {{ city }}" in page


def test_what_cannot_be_rendered_is_not_sent(alice, ann, visit, owner):
    page = visit(owner).post(f"{LIST}new/", {**FORM, "html": "{{ 1 / 0 }}", "do": "test"}).content.decode()

    assert "Not sent. Division by zero." in page
    assert mail.outbox == []


# --- versions --------------------------------------------------------------------------------------------------------


def test_versions_are_listed_compared_and_restored(alice, template, visit, owner, admin):
    with entered(alice):
        make_template(admin, template=template, name="News", html="<p>Hello dear {{ contact_name }}</p>")
    client, at = visit(owner), f"{LIST}{template.pk}/versions/"

    listed = client.get(at).content.decode()
    compared = client.get(f"{at}?old=1&new=2").content.decode()
    restored = client.post(f"{at}1/restore/", follow=True).content.decode()

    assert "Ada Admin" in listed
    assert "From version 1 to version 2" in compared
    assert re.search(r"<mark>\s?dear\s?</mark>", compared)
    assert "Version 1 counts again, as the newest." in restored
    with entered(alice):
        template.refresh_from_db()
        assert (template.current.number, template.current.html) == (3, HTML)


@pytest.mark.parametrize("query", ["old=9&new=1", "old=x&new=y", "old=1", "old=99999999999999999999&new=1", "old=²&new=1"])
def test_versions_that_are_not_there_are_not_compared(template, visit, owner, query):
    answer = visit(owner).get(f"{LIST}{template.pk}/versions/?{query}")

    assert answer.status_code == 200
    assert "From version" not in answer.content.decode()


def test_a_version_of_another_template_is_not_restored(alice, template, visit, owner):
    assert visit(owner).post(f"{LIST}{template.pk}/versions/9/restore/").status_code == 404
