"""Every page: who may see it, and that another tenant's contacts are not there."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from crm.models import Contact, CustomField, ScoreRule
from crm.tests.factories import make_contact, make_interaction
from tenants.context import entered

PAGES = [
    "/crm/",
    "/crm/activity/",
    "/crm/contacts/",
    "/crm/contacts/?layout=cards",
    "/crm/contacts/new/",
    "/crm/contacts/bin/",
    "/crm/contacts/duplicates/?contact_name=Ann",
    "/crm/suggestions/city/?city=b",
    "/crm/board/",
    "/crm/tasks/",
    "/crm/views/",
    "/settings/contacts/",
    "/settings/contacts/fields/new/",
    "/settings/contacts/rules/new/",
]


@pytest.mark.parametrize("page", PAGES)
def test_pages_are_for_owners_and_admins(page, visit, owner, admin, member, stranger):
    assert visit(owner).get(page).status_code == 200
    assert visit(admin).get(page).status_code == 200
    assert visit(member).get(page).status_code == 403
    assert visit(stranger).get(page).status_code == 404
    assert visit().get(page).status_code == 302


def test_a_piece_of_a_page_is_not_kept_for_the_page(visit, owner):
    answer = visit(owner).get("/crm/contacts/")
    assert "HX-Request" in answer.headers["Vary"]


def test_a_member_sees_no_link(visit, member, owner):
    assert b"/crm/contacts/" not in visit(member).get("/").content
    assert b"/crm/contacts/" in visit(owner).get("/").content


@pytest.fixture
def ann(in_alice, bob) -> Contact:
    """Alice's contact, with one of the same number and name at Bob's."""
    with entered(bob):
        theirs = make_contact("Ann Example", phone="+15557001", city="Bobville", notes="secret of Bob")
        make_interaction(theirs, subject="Bob's business")
    return make_contact("Ann Example", phone="+15557001", city="Alicetown")


@pytest.mark.parametrize(
    "name",
    ["contact-detail", "contact-edit"],
)
def test_a_contact_is_its_tenants_own(name, visit, owner, stranger, member, ann):
    page = reverse(f"crm:{name}", args=[ann.pk])

    shown = visit(owner).get(page)

    assert b"Alicetown" in shown.content and b"Bobville" not in shown.content
    assert visit(member).get(page).status_code == 403
    assert visit(stranger).get(page).status_code == 404  # not a member there
    assert visit(stranger, "bob.test").get(reverse(f"crm:{name}", args=[ann.pk + 99])).status_code == 404


def test_lists_hide_what_other_tenants_have(visit, owner, ann):
    client = visit(owner)

    for page in ("/crm/contacts/", "/crm/contacts/?q=ann", "/crm/contacts/?q=%2B15557001", "/crm/board/", "/crm/activity/"):
        shown = client.get(page).content
        assert b"Bobville" not in shown and b"Bob&#x27;s business" not in shown
    assert client.get("/crm/contacts/?q=secret").content.count(b"No contact fits") == 1


@pytest.mark.parametrize(
    "page", ["/crm/contacts/", "/crm/contacts/?layout=cards", "/crm/board/", "/crm/tasks/", "/crm/activity/"]
)
def test_lists_ask_the_database_the_same_for_one_row_and_for_three(page, visit, owner, in_alice):
    client = visit(owner)
    counts = []
    for _ in range(3):
        contact = make_contact(owner=owner, tags=["vip"])
        make_interaction(contact, "task", subject="Ring", user=owner)
        client.get(page)
        with CaptureQueriesContext(connection) as queries:
            assert client.get(page).status_code == 200
        counts.append(len(queries))

    assert counts[0] == counts[2], counts


def test_a_person_creates_edits_and_deletes(visit, owner, in_alice):
    client = visit(owner)
    CustomField.objects.create(key="size", label="Size", type="select", options=["S", "M"])

    made = client.post(
        "/crm/contacts/new/",
        {"contact_name": "Zoë", "phones": "mobile: +1 555 765 4321", "status": "lead", "cf_size": "M", "value": "1,250.50"},
    )
    contact = Contact.objects.get()
    assert made.headers["Location"] == contact.get_absolute_url()
    assert (contact.phones, contact.custom_fields, str(contact.value), contact.created_by) == (
        [{"label": "mobile", "number": "+15557654321"}],
        {"size": "M"},
        "1250.50",
        owner,
    )
    page = client.get(made.headers["Location"])
    assert b"+15557654321" in page.content and b"unknown" in page.content

    edit = reverse("crm:contact-edit", args=[contact.pk])
    form = client.get(edit).context["form"]
    values = {name: value for name, value in form.initial.items() if value not in (None, False)}
    saved = client.post(edit, {**values, "city": "Ulm"})
    assert saved.status_code == 302, saved.context["form"].errors
    contact.refresh_from_db()
    assert (contact.city, contact.version, contact.custom_fields) == ("Ulm", 2, {"size": "M"})

    client.post(reverse("crm:contact-delete", args=[contact.pk]))
    assert not Contact.objects.live().exists()
    assert b"Undo" in client.get("/crm/contacts/").content
    client.post(reverse("crm:contact-restore", args=[contact.pk]))
    assert Contact.objects.live().get() == contact


def test_the_second_of_two_editors_sees_both_versions_and_decides(visit, owner, admin, in_alice):
    contact = make_contact(city="Old", contact_role="old")
    edit = reverse("crm:contact-edit", args=[contact.pk])
    base = {"contact_name": "Ann Example", "status": "lead", "version": 1}
    visit(admin).post(edit, {**base, "city": "Theirs", "contact_role": "theirs"})

    client = visit(owner)
    refused = client.post(edit, {**base, "city": "Mine", "contact_role": "mine"})

    assert refused.status_code == 409
    assert b"Theirs" in refused.content and b"Mine" in refused.content
    assert Contact.objects.get().city == "Theirs"
    client.post(edit, {**base, "version": 2, "city": "Mine", "contact_role": "mine", "take_contact_role": "on"})
    contact.refresh_from_db()
    assert (contact.city, contact.contact_role, contact.version) == ("Mine", "theirs", 3)


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"contact_name": ""}, "Write a name"),
        ({"contact_email": "nobody"}, "not an e-mail address"),
        ({"phones": "12"}, "names no country"),
        ({"value": "much"}, "not a number"),
        ({"website": "no address"}, "not a web address"),
    ],
)
def test_bad_input_is_explained_and_nothing_is_lost(values, fault, visit, owner, in_alice):
    answer = visit(owner).post(
        "/crm/contacts/new/", {"contact_name": "Kept", "status": "lead", "notes": "my notes", **values}
    )

    assert answer.status_code == 422
    assert fault in answer.content.decode()
    assert b"my notes" in answer.content
    assert not Contact.objects.exists()


@pytest.mark.parametrize(
    "path",
    ["contact-delete", "contact-restore", "contact-status", "contact-wishes", "interaction-add"],
)
def test_actions_take_post_only_and_managers_only(path, visit, owner, member, stranger, ann):
    url = reverse(f"crm:{path}", args=[ann.pk])

    assert visit(owner).get(url).status_code == 405
    assert visit(member).post(url).status_code == 403
    assert visit(stranger).post(url).status_code == 404
    assert visit().post(url).status_code == 302


def test_wishes_are_written_down_with_their_source(visit, owner, ann):
    visit(owner).post(reverse("crm:contact-wishes", args=[ann.pk]))

    ann.refresh_from_db()
    assert (ann.do_not_call_source, ann.do_not_mail_source) == ("person", "person")
    assert b"Does not want to be contacted" in visit(owner).get(ann.get_absolute_url()).content


def test_a_card_is_moved_by_form_and_by_script(visit, owner, ann):
    client = visit(owner)
    url = reverse("crm:contact-status", args=[ann.pk])

    moved = client.post(url, {"status": "customer", "query": "city=Alicetown"})
    assert moved.headers["Location"] == "/crm/board/?city=Alicetown"
    assert client.post(url, {"status": "prospect"}, headers={"accept": "application/json"}).json() == {
        "status": "prospect",
        "label": "Prospect",
    }
    assert client.post(url, {"status": "nothing"}).status_code == 404
    ann.refresh_from_db()
    assert ann.status == "prospect"


def test_views_are_saved_shared_and_deleted(visit, owner, admin, in_alice):
    saved = visit(owner).post(
        "/crm/views/save/", {"name": "Leads", "query": "status=lead&q=", "layout": "board", "is_shared": "on"}
    )

    assert saved.headers["Location"] == "/crm/board/?status=lead"
    assert b"Leads" in visit(admin).get("/crm/contacts/").content
    view = visit(admin).get("/crm/views/").context["views"][0]
    assert visit(admin).post(f"/crm/views/{view.pk}/delete/").status_code == 404
    assert visit(owner).post(f"/crm/views/{view.pk}/delete/").status_code == 302


def test_a_rule_and_a_status_are_changed(visit, owner, in_alice):
    client = visit(owner)

    made = client.post(
        "/settings/contacts/rules/new/",
        {"label": "vip", "kind": "tagged", "value": "vip", "at_least": 1, "points": 40, "position": 0, "is_active": "on"},
    )

    assert made.status_code == 302, made.context["form"].errors
    assert ScoreRule.objects.filter(label="vip", points=40).exists()
    assert (
        client.post(
            "/settings/contacts/rules/new/", {"label": "x", "kind": "field-is", "points": 1, "at_least": 1, "position": 0}
        ).status_code
        == 422
    )


def test_a_field_is_added_and_a_change_of_its_options_asks_first(visit, owner, in_alice):
    client = visit(owner)
    client.post(
        "/settings/contacts/fields/new/", {"label": "Shoe size", "type": "select", "options": "S\nM\nL", "is_active": "on"}
    )
    field = CustomField.objects.get()
    assert (field.key, field.options) == ("shoe_size", ["S", "M", "L"])
    kept, lost = make_contact(custom_fields={"shoe_size": "M"}), make_contact(custom_fields={"shoe_size": "L"})

    change = {"label": "Shoe size", "type": "select", "options": "S\nM", "is_active": "on"}
    asked = client.post(field.get_absolute_url(), change)
    assert asked.status_code == 409 and b"1 would be lost" in asked.content
    assert CustomField.objects.get().options == ["S", "M", "L"]

    client.post(field.get_absolute_url(), {**change, "confirmed": "yes"})
    assert [contact.custom_fields for contact in Contact.objects.order_by("pk")] == [{"shoe_size": "M"}, {}]
    assert (kept.pk, lost.pk) and CustomField.objects.get().options == ["S", "M"]
