from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from crm.imports.models import ContactImport
from crm.imports.services.checking import check_import
from crm.imports.services.running import run_import
from crm.imports.services.undoing import undo_import
from crm.imports.tests.factories import HEADER, carry_out, check, csv_bytes, make_import, people, start, xlsx_bytes
from crm.models import Contact, CustomField
from tenants.context import entered
from tenants.models import AuditEvent, Tenant, User

Visit = Callable[..., Client]


def send(client: Client, data: bytes, name: str = "contacts.csv") -> Any:
    return client.post("/crm/imports/new/", {"file": SimpleUploadedFile(name, data)})


def test_a_file_is_uploaded_checked_imported_and_undone(alice: Tenant, owner: User, visit: Visit) -> None:
    client = visit(owner)

    page = send(client, csv_bytes([HEADER, *people(3)]))
    with entered(alice):
        record = ContactImport.objects.get()
    assert page.status_code == 302 and page["Location"] == record.get_absolute_url()
    page = client.get(record.get_absolute_url())
    assert page.context["columns_form"].record == record

    mapping = {f"column_{n}": target for n, target in enumerate(record.mapping)}
    assert client.post(f"{record.get_absolute_url()}columns/", mapping).status_code == 302
    assert b"Being checked" in client.get(record.get_absolute_url()).content
    with entered(alice):
        check_import(import_id=record.pk)
    page = client.get(record.get_absolute_url())
    assert [(o["label"], o["count"]) for o in page.context["shown"]] == [("New", 3), ("Changed", 0), ("Invalid", 0)]

    chosen = {"on_duplicate": "update", "status": "customer", "owner": owner.pk, "source": "fair", "tags": "a, b"}
    assert client.post(f"{record.get_absolute_url()}start/", chosen).status_code == 302
    with entered(alice):
        run_import(import_id=record.pk)
        first = Contact.objects.get(contact_name="Person 1")
    assert (first.status, first.owner_id, first.source, first.tags) == ("customer", owner.pk, "fair", ["a", "b"])
    page = client.get(record.get_absolute_url())
    assert f"?import={record.pk}".encode() in page.content

    assert client.post(f"{record.get_absolute_url()}undo/").status_code == 302
    with entered(alice):
        undo_import(import_id=record.pk)
        assert not Contact.objects.live().exists()
    assert b"Undone" in client.get(record.get_absolute_url()).content


FILES = ("{id}/bad-rows/", "{id}/unread-cells/")
PAGES = ("", "new/", "{id}/")
POSTS = ("{id}/reading/", "{id}/columns/", "{id}/answers/", "{id}/start/", "{id}/cancel/", "{id}/undo/")


@pytest.fixture
def record(alice: Tenant, bob: Tenant) -> ContactImport:
    with entered(bob):
        make_import(people(2))
        carry_out(make_import(people(2)))
    with entered(alice):
        return make_import(people(2))


@pytest.mark.parametrize("path", [*PAGES, *FILES, *POSTS])
def test_only_managers_of_the_organisation_get_in(
    record: ContactImport, member: User, stranger: User, visit: Visit, path: str
) -> None:
    url = "/crm/imports/" + path.format(id=record.pk)
    method = "post" if path in POSTS else "get"

    assert getattr(visit(), method)(url).status_code == 302
    assert getattr(visit(member), method)(url).status_code == 403
    assert getattr(visit(stranger), method)(url).status_code == 404
    with entered(record_tenant()):
        assert ContactImport.objects.get(pk=record.pk).state == "uploaded"


def record_tenant() -> Tenant:
    return Tenant.objects.get(domains__domain="alice.test")


@pytest.mark.parametrize("path", [*PAGES, *FILES])
def test_an_admin_gets_in(record: ContactImport, admin: User, visit: Visit, path: str) -> None:
    assert visit(admin).get("/crm/imports/" + path.format(id=record.pk)).status_code == 200


@pytest.mark.parametrize("path", POSTS)
def test_actions_are_posted(record: ContactImport, owner: User, visit: Visit, path: str) -> None:
    assert visit(owner).get("/crm/imports/" + path.format(id=record.pk)).status_code == 405


@pytest.mark.parametrize("path", ["{id}/", *FILES])
def test_the_other_tenants_import_is_not_found(
    bob: Tenant, owner: User, record: ContactImport, visit: Visit, path: str
) -> None:
    with entered(bob):
        theirs = ContactImport.objects.order_by("-pk")[0]
    assert theirs.pk != record.pk

    assert visit(owner).get("/crm/imports/" + path.format(id=theirs.pk)).status_code == 404


def test_a_post_without_the_token_is_refused(owner: User, visit: Visit, alice: Tenant) -> None:
    client = visit(owner)
    client.handler.enforce_csrf_checks = True

    assert send(client, csv_bytes([HEADER, *people(1)])).status_code == 403
    with entered(alice):
        assert not ContactImport.objects.exists()


def test_a_file_that_is_refused_is_explained(owner: User, visit: Visit, alice: Tenant) -> None:
    page = send(visit(owner), b"%PDF-1.7 and so on")

    assert page.status_code == 400
    assert "This is a PDF file." in page.content.decode() and "Nothing was changed." in page.content.decode()
    with entered(alice):
        assert not ContactImport.objects.exists()


def test_a_form_without_a_file_is_explained(owner: User, visit: Visit) -> None:
    assert b"This field is required" in visit(owner).post("/crm/imports/new/", {}).content


def test_a_request_that_says_it_is_too_large_is_not_read(owner: User, visit: Visit, settings: Any) -> None:
    settings.IMPORT_MAX_BYTES = 1000

    page = send(visit(owner), b"Name\n" + b"x" * 200_000)

    assert page.status_code == 413
    assert "larger than 1,000 bytes" in page.content.decode()


def test_an_upload_that_turns_out_too_large_is_stopped(owner: User, visit: Visit, settings: Any, alice: Tenant) -> None:
    settings.IMPORT_MAX_BYTES = 1000

    page = send(visit(owner), b"Name\n" + b"x" * 2000)

    assert page.status_code == 413
    with entered(alice):
        assert not ContactImport.objects.exists()


def test_a_misspelt_header_is_a_question(owner: User, visit: Visit, alice: Tenant) -> None:
    with entered(alice):
        record = make_import([("Ann", "ann@example.com")], header=("Name", "E-mial"))

    page = visit(owner).get(record.get_absolute_url()).content.decode()

    assert "Did you mean E-mail?" in page


def test_a_column_becomes_a_new_field(owner: User, visit: Visit, alice: Tenant) -> None:
    with entered(alice):
        record = make_import([("Ann", "38")], header=("Name", "Shoe size"))

    visit(owner).post(f"{record.get_absolute_url()}columns/", {"column_0": "contact_name", "column_1": "new:number"})

    with entered(alice):
        field = CustomField.objects.get()
        record.refresh_from_db()
        assert (field.key, field.label, field.type) == ("shoe_size", "Shoe size", "number")
        assert (record.state, record.mapping) == ("checking", ["contact_name", "cf_shoe_size"])


def test_columns_without_a_name_are_refused_with_the_form(owner: User, visit: Visit, record: ContactImport) -> None:
    page = visit(owner).post(f"{record.get_absolute_url()}columns/", {"column_4": "city"})

    assert page.status_code == 400
    assert "Choose the column that holds the name" in page.content.decode()


def test_a_target_that_does_not_exist_is_refused(owner: User, visit: Visit, record: ContactImport) -> None:
    page = visit(owner).post(f"{record.get_absolute_url()}columns/", {"column_0": "contact_name", "column_1": "password"})

    assert page.status_code == 400
    assert "Select a valid choice" in page.content.decode()


def test_the_way_a_file_is_read_can_be_changed(owner: User, visit: Visit, alice: Tenant) -> None:
    with entered(alice):
        record = make_import(people(2))

    page = visit(owner).post(
        f"{record.get_absolute_url()}reading/", {"encoding": "cp1252", "delimiter": "\t", "header_row": "0"}
    )

    assert page.status_code == 302
    with entered(alice):
        record.refresh_from_db()
    assert (record.encoding, record.delimiter, record.header_row, record.headers) == ("cp1252", "\t", None, ["Column A"])


def test_another_sheet_can_be_chosen(owner: User, visit: Visit, alice: Tenant) -> None:
    book = xlsx_bytes([("Name",), ("Ann",)], [("Business",), ("Acme",)], titles=("People", "Firms"))
    send(visit(owner), book, "book.xlsx")
    with entered(alice):
        record = ContactImport.objects.get()
    assert (record.sheet, record.sheets) == ("People", ["People", "Firms"])

    visit(owner).post(f"{record.get_absolute_url()}reading/", {"sheet": "Firms", "header_row": "1"})

    with entered(alice):
        record.refresh_from_db()
    assert (record.sheet, record.mapping) == ("Firms", ["business_name"])


def test_an_import_that_is_not_ready_is_not_started(owner: User, visit: Visit, record: ContactImport) -> None:
    page = visit(owner).post(f"{record.get_absolute_url()}start/", {"on_duplicate": "skip"}, follow=True)

    assert "This import is not ready" in page.content.decode()


def test_bad_choices_for_the_start_are_shown(owner: User, visit: Visit, alice: Tenant) -> None:
    with entered(alice):
        record = check(make_import(people(1)))

    page = visit(owner).post(f"{record.get_absolute_url()}start/", {"on_duplicate": "burn", "tags": "x" * 61})

    assert page.status_code == 400
    assert "A tag has at most 60 characters." in page.content.decode()


def test_the_progress_bar_asks_until_it_is_over(owner: User, visit: Visit, alice: Tenant) -> None:
    with entered(alice):
        record = start(make_import(people(1)))
    client = visit(owner)

    page = client.get(record.get_absolute_url(), headers={"hx-request": "true"})
    assert b'hx-trigger="every 1s"' in page.content and "HX-Refresh" not in page
    with entered(alice):
        run_import(import_id=record.pk)
    page = client.get(record.get_absolute_url(), headers={"hx-request": "true"})
    assert page["HX-Refresh"] == "true"


def test_without_javascript_the_page_loads_itself_again(owner: User, visit: Visit, alice: Tenant) -> None:
    with entered(alice):
        record = start(make_import(people(1)))

    assert b'<meta http-equiv="refresh" content="3">' in visit(owner).get(record.get_absolute_url()).content


def test_a_running_import_is_cancelled(owner: User, visit: Visit, alice: Tenant) -> None:
    with entered(alice):
        record = start(make_import(people(1)))

    visit(owner).post(f"{record.get_absolute_url()}cancel/")

    with entered(alice):
        run_import(import_id=record.pk)
        record.refresh_from_db()
        assert (record.state, Contact.objects.count()) == ("canceled", 0)


def test_what_cannot_be_cancelled_or_undone_is_explained(owner: User, visit: Visit, alice: Tenant) -> None:
    with entered(alice):
        record = carry_out(make_import([("", "", "", "", "")] * 2 + [("", "", "a@x.io", "", "")]))
    client = visit(owner)

    assert b"There is nothing to cancel" in client.post(f"{record.get_absolute_url()}cancel/", follow=True).content
    assert b"There is nothing to undo" in client.post(f"{record.get_absolute_url()}undo/", follow=True).content


def test_bad_rows_are_downloaded_with_their_reasons(owner: User, visit: Visit, alice: Tenant) -> None:
    with entered(alice):
        record = carry_out(make_import([("", "", "", "", "=cmd|' /C calc'!A0"), *people(1)]))

    page = visit(owner).get(f"{record.get_absolute_url()}bad-rows/")

    lines = b"".join(page.streaming_content).decode().splitlines()
    assert page["Content-Disposition"] == f'attachment; filename="bad-rows-{record.pk}.csv"'
    assert lines == [
        "\ufeffName,Business,E-mail,Phone,City,Reason why not imported",
        ",,,,'=cmd|' /C calc'!A0,there is neither a name nor a business",
    ]


def test_the_list_asks_as_many_questions_for_three_as_for_one(
    owner: User, visit: Visit, alice: Tenant, django_assert_num_queries: Any
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    client, counts = visit(owner), []
    for _ in range(2):
        with entered(alice):
            make_import(people(1))
            make_import(people(1))
        with CaptureQueriesContext(connection) as queries:
            assert client.get("/crm/imports/").status_code == 200
        counts.append(len(queries))

    assert counts[0] == counts[1]


def test_hostile_names_and_cells_are_shown_as_text(owner: User, visit: Visit, alice: Tenant) -> None:
    rows = csv_bytes([("Name", "<script>alert(1)</script>"), ("<b>Ann</b>", "<img src=x>")])
    send(visit(owner), rows, "<script>.csv")
    with entered(alice):
        record = ContactImport.objects.get()

    page = visit(owner).get(record.get_absolute_url()).content.decode()

    assert "<script>alert" not in page and "<img src=x>" not in page and "&lt;img src=x&gt;" in page


def test_what_was_imported_is_audited(owner: User, alice: Tenant) -> None:
    with entered(alice):
        record = carry_out(make_import(people(2), by=owner))

    event = AuditEvent.objects.get(action="contacts-imported")
    assert (event.tenant, event.actor, event.target) == (alice, owner, f"import {record.pk}: 2 created, 0 changed")
