from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from crm.models import Contact, CustomField, Interaction, SavedView
from crm.tests.factories import make_contact, make_interaction
from tenants.context import entered

LISTS = ["contacts", "interactions", "tasks", "custom-fields", "views"]


@pytest.fixture
def api(visit, owner):
    return visit(owner)


def post(client, path, **data):
    return client.post(f"/api/v1/{path}/", data, content_type="application/json")


def patch(client, path, **data):
    return client.patch(f"/api/v1/{path}/", data, content_type="application/json")


@pytest.mark.parametrize("name", LISTS)
def test_lists_are_for_managers_of_this_tenant(name, visit, owner, member, stranger, in_alice):
    path = f"/api/v1/{name}/"
    assert visit(owner).get(path).status_code == 200
    assert visit(member).get(path).status_code == 403
    assert visit(stranger).get(path).status_code == 404
    assert visit().get(path).status_code == 401


@pytest.mark.parametrize("name", ["contacts", "interactions", "tasks"])
def test_lists_show_nothing_of_other_tenants_and_ask_no_more_for_more_rows(name, api, in_alice, bob):
    with entered(bob):
        make_interaction(make_contact("Bob's secret"), "task", subject="Bob's secret")
    counts = []
    for _ in range(3):
        make_interaction(make_contact("Mine"), "task", subject="Mine")
        api.get(f"/api/v1/{name}/")
        with CaptureQueriesContext(connection) as queries:
            answer = api.get(f"/api/v1/{name}/")
        counts.append(len(queries))

    assert len(answer.json()["results"]) == 3
    assert "secret" not in answer.content.decode()
    assert counts[0] == counts[2]


def test_a_contact_is_made_changed_and_put_into_the_bin(api, in_alice, owner):
    CustomField.objects.create(key="size", label="Size", type="select", options=["S", "M"], default="S")

    made = post(
        api,
        "contacts",
        contact_name="Zoë",
        phone="+1 (555) 010-0000",
        contact_email="zoe@example.com",
        tags=["vip"],
        owner=owner.pk,
        value="12.50",
        do_not_mail=True,
    )

    assert made.status_code == 201, made.content
    body = made.json()
    assert body["phones"] == [{"label": "", "number": "+15550100000"}] and body["phone"] == "+15550100000"
    assert (body["custom_fields"], body["do_not_mail"], body["do_not_call"], body["score"]) == (
        {"size": "S"},
        True,
        False,
        None,
    )
    path = f"contacts/{body['id']}"
    changed = patch(api, path, city="Ulm", custom_fields={"size": "m"}, version=1)
    assert (changed.json()["city"], changed.json()["custom_fields"], changed.json()["version"]) == ("Ulm", {"size": "M"}, 2)
    late = patch(api, path, city="Bonn", version=1)
    assert late.status_code == 409 and "version 2" in late.json()["detail"]
    assert api.delete(f"/api/v1/{path}/").status_code == 204
    assert api.get(f"/api/v1/{path}/").status_code == 404
    assert post(api, f"{path}/restore").json()["id"] == body["id"]


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({}, "contact_name"),
        ({"contact_name": "A", "contact_email": "no"}, "contact_email"),
        ({"contact_name": "A", "phone": "12"}, "phones"),
        ({"contact_name": "A", "phones": [{"number": "x"}]}, "phones"),
        ({"contact_name": "A", "website": "no address"}, "website"),
        ({"contact_name": "A", "owner": 424242}, "owner"),
        ({"contact_name": "A", "custom_fields": {"nope": 1}}, "custom_fields"),
        ({"contact_name": "A", "status": "nope"}, "status"),
    ],
)
def test_what_does_not_fit_is_named(data, field, api, in_alice):
    answer = post(api, "contacts", **data)

    assert answer.status_code == 400
    assert field in answer.json()
    assert not Contact.objects.exists()


def test_control_characters_are_left_out_of_what_is_stored(api, in_alice):
    assert post(api, "contacts", contact_name="A\0nn", notes="\0").status_code == 201

    assert Contact.objects.values_list("contact_name", "notes").get() == ("Ann", "")


def test_the_same_key_twice_makes_one_contact(api, in_alice):
    answers = [
        api.post(
            "/api/v1/contacts/",
            {"contact_name": "Once"},
            content_type="application/json",
            headers={"idempotency-key": "k1"},
        )
        for _ in range(2)
    ]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert Contact.objects.count() == 1


def test_contacts_are_filtered_sorted_and_paged(api, in_alice):
    CustomField.objects.create(key="size", label="Size", type="number")
    for n in range(5):
        make_contact(f"Name {n}", city="Ulm" if n % 2 else "Bonn", custom_fields={"size": n}, score=n)

    def names(query: str) -> list[str]:
        return [row["contact_name"] for row in api.get(f"/api/v1/contacts/?{query}").json()["results"]]

    assert names("city=ulm&sort=name") == ["Name 1", "Name 3"]
    assert names("cf_size_min=3&sort=-score") == ["Name 4", "Name 3"]
    assert names("q=nam&score_max=1&sort=score") == ["Name 0", "Name 1"]
    seen, url = [], "/api/v1/contacts/?sort=-name&page_size=2"
    while url:
        page = api.get(url).json()
        seen += [row["contact_name"] for row in page["results"]]
        url = page["next"]
    assert seen == [f"Name {n}" for n in (4, 3, 2, 1, 0)]


@pytest.mark.parametrize(
    "query", ["cursor=zzz", "sort=nope", "page_size=0", "page_size=x", "status=nope", "score_min=x", "created_from=x"]
)
def test_a_question_that_makes_no_sense_is_refused(query, api, in_alice):
    assert api.get(f"/api/v1/contacts/?{query}").status_code == 400


def test_merge_and_part_again(api, in_alice):
    kept, merged = make_contact("Ann", city="Ulm"), make_contact("Anne", city="Bonn", phone="+15557001")
    make_interaction(merged, subject="Hello")

    done = post(api, f"contacts/{kept.pk}/merge", merged=merged.pk, take={"city": "merged"})

    assert done.status_code == 200
    row = api.get(f"/api/v1/contacts/{kept.pk}/").json()
    assert (row["city"], row["phone"]) == ("Bonn", "+15557001")
    assert [entry["subject"] for entry in api.get(f"/api/v1/interactions/?contact={kept.pk}").json()["results"]] == [
        "Hello"
    ]
    assert post(api, f"contacts/{kept.pk}/merge", merged=merged.pk).status_code == 404
    assert post(api, f"contacts/{kept.pk}/unmerge").status_code == 200
    assert api.get(f"/api/v1/contacts/{kept.pk}/").json()["city"] == "Ulm"
    assert post(api, f"contacts/{kept.pk}/unmerge").status_code == 409


def test_interactions_and_tasks(api, in_alice, owner):
    ann = make_contact()

    task = post(api, "interactions", contact=ann.pk, kind="task", subject="Ring", due_on="2020-01-01").json()

    assert task["user"] == owner.pk
    assert [row["id"] for row in api.get("/api/v1/tasks/?when=overdue&whose=mine").json()["results"]] == [task["id"]]
    assert api.get(f"/api/v1/contacts/{ann.pk}/").json()["open_task_count"] == 1
    assert post(api, f"interactions/{task['id']}/complete").json()["done_at"]
    assert api.get("/api/v1/tasks/").json()["results"] == []
    assert patch(api, f"interactions/{task['id']}", subject="Rang").json()["subject"] == "Rang"
    other = make_contact("Other")
    assert patch(api, f"interactions/{task['id']}", contact=other.pk).status_code == 400
    note = post(api, "interactions", contact=ann.pk, subject="Hi").json()
    assert post(api, f"interactions/{note['id']}/complete").status_code == 400
    assert api.delete(f"/api/v1/interactions/{note['id']}/").status_code == 204
    assert Interaction.objects.count() == 1


def test_entries_of_another_tenants_contact_cannot_be_made(api, in_alice, bob):
    with entered(bob):
        for _ in range(3):
            theirs = make_contact("Theirs")

    answer = post(api, "interactions", contact=theirs.pk, subject="x")

    assert answer.status_code == 400


def test_custom_fields_change_with_a_warning(api, in_alice):
    made = post(api, "custom-fields", label="Größe", type="select", options=["S", "M", "L"])
    assert made.status_code == 201 and made.json()["key"] == "grosse", made.content
    make_contact(custom_fields={"grosse": "L"})
    path = f"custom-fields/{made.json()['id']}"

    refused = patch(api, path, options=["S", "M"])
    assert (refused.status_code, refused.json()["lost"], refused.json()["examples"]) == (409, 1, ["L"])
    done = api.patch(f"/api/v1/{path}/?confirm=true", {"options": ["S", "M"]}, content_type="application/json")
    assert done.status_code == 200
    assert Contact.objects.get().custom_fields == {}
    assert post(api, "custom-fields", label="Phone", key="phones", type="text").status_code == 400
    assert api.delete(f"/api/v1/{path}/").status_code == 405


def test_views_are_ones_own_unless_shared(api, visit, admin, in_alice, owner):
    mine = post(api, "views", name="Leads", query="status=lead").json()
    post(api, "views", name="Shared", query="", is_shared=True)

    theirs = visit(admin)
    assert [row["name"] for row in theirs.get("/api/v1/views/").json()["results"]] == ["Shared"]
    assert theirs.delete(f"/api/v1/views/{mine['id']}/").status_code == 404
    assert post(api, "views", name="Leads").status_code == 400
    assert api.delete(f"/api/v1/views/{mine['id']}/").status_code == 204
    assert SavedView.objects.count() == 1
