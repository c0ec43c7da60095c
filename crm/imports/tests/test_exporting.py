from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from typing import Any

import openpyxl
import pytest
from django.core.handlers.asgi import ASGIRequest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from crm.enums import FieldType
from crm.imports import exporting
from crm.imports.defusing import defuse, undo_defusing
from crm.imports.streaming import stream
from crm.imports.tests.factories import carry_out, check, make_contact, make_import, upload
from crm.models import Contact, CustomField
from tenants.context import current_schema, entered
from tenants.models import AuditEvent, Tenant, User

Visit = Callable[..., Client]


def make_hostile_contacts(owner: User) -> None:
    CustomField.objects.create(key="likes", label="Likes", type=FieldType.MULTI_SELECT, options=["tea", "=rum, 1"])
    CustomField.objects.create(key="city", label="City", type=FieldType.TEXT)
    CustomField.objects.create(key="born", label="Born", type=FieldType.DATE)
    CustomField.objects.create(key="met", label="Met", type=FieldType.DATE_TIME)
    CustomField.objects.create(key="vip", label="VIP", type=FieldType.BOOLEAN)
    custom = {
        "likes": ["tea", "=rum, 1"],
        "city": "-",
        "born": "2000-01-02",
        "vip": False,
        "met": "2026-01-02T03:04:05+00:00",
    }
    make_contact(contact_name="=cmd|' /C calc'!A0", contact_email="=a@example.com", custom_fields=custom, owner=owner)
    make_contact(
        contact_name="'=already", notes="-1 is\r\na \"number\", 'quoted'\n\n@end", tags=["@a", "b c"], value="-5.50"
    )
    make_contact(contact_name="José  “Müller”", business_name="+49 GmbH; Co", website="http://example.com", address="'x'")
    make_contact(contact_name="", business_name="Only Ltd", phone="+15550100", do_not_call=True, status="closed_won")
    twin = {"contact_name": "Twin", "contact_email": "twin@example.com"}
    make_contact(**twin, city="A", phones=[{"label": "mobile", "number": "+1555001"}, {"label": "", "number": "+1555002"}])
    make_contact(**twin, city="B")


def export(client: Client, query: str = "") -> bytes:
    page = client.get(f"/crm/export/?{query}")
    assert page.status_code == 200, page.content
    return b"".join(page.streaming_content)


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_what_is_exported_is_imported_as_unchanged(
    alice: Tenant, owner: User, visit: Visit, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "ROWS", 4)
    with entered(alice):
        make_hostile_contacts(owner)
        before = list(Contact.objects.order_by("id").values())

    data = export(visit(owner), f"format={kind}")

    with entered(alice):
        record = carry_out(upload(data, f"contacts.{kind}"), "update")
        assert record.problems == []
        assert {name: count for name, count in record.counts.items() if count} == {"unchanged": 6}
        assert list(Contact.objects.order_by("id").values()) == before


def test_an_emptied_tenant_is_filled_again_from_its_export(alice: Tenant, owner: User, visit: Visit) -> None:
    kept = ("contact_name", "business_name", "contact_email", "phones", "tags", "custom_fields", "do_not_call_at", "value")
    with entered(alice):
        make_hostile_contacts(owner)
        before = list(Contact.objects.order_by("id").values(*kept))
        data = export(visit(owner))
        Contact.objects.all().delete()
        carry_out(upload(data), "create")
        after = list(Contact.objects.order_by("id").values(*kept))
    for row in before:
        row["contact_name"] = " ".join(row["contact_name"].split())
        if row["do_not_call_at"]:
            row["do_not_call_at"] = row["do_not_call_at"].replace(microsecond=0)
    assert after == before


def test_the_export_is_the_list_that_was_looked_at(alice: Tenant, bob: Tenant, owner: User, visit: Visit) -> None:
    with entered(bob):
        make_contact(contact_name="Theirs", status="customer")
    with entered(alice):
        make_contact(contact_name="Ann", status="customer")
        make_contact(contact_name="Ben")

    rows = list(csv.DictReader(io.StringIO(export(visit(owner), "status=customer").decode("utf-8-sig"))))

    assert [row["Name"] for row in rows] == ["Ann"]
    event = AuditEvent.objects.get(action="contacts-exported")
    assert (event.tenant, event.actor, event.target) == (alice, owner, "1 contacts as csv")


def test_an_export_of_nothing_has_its_header(owner: User, visit: Visit) -> None:
    text = export(visit(owner)).decode()

    assert text.startswith("\ufeffThanotopolis ID,Name,Business,E-mail,Role,Phone,") and text.count("\r\n") == 1


def test_nothing_in_a_workbook_is_a_formula(alice: Tenant, owner: User, visit: Visit) -> None:
    with entered(alice):
        make_contact(contact_name="=1+1", notes="x" * 40_000 + "\x01")

    book = openpyxl.load_workbook(io.BytesIO(export(visit(owner), "format=xlsx")))

    sheet: Any = book.active
    assert (sheet["B2"].value, sheet["B2"].data_type) == ("'=1+1", "s")


def test_who_may_export(alice: Tenant, member: User, admin: User, stranger: User, visit: Visit) -> None:
    assert visit().get("/crm/export/").status_code == 302
    assert visit(member).get("/crm/export/").status_code == 403
    assert visit(stranger).get("/crm/export/").status_code == 404
    assert visit(admin).get("/crm/export/").status_code == 200
    assert visit(admin).post("/crm/export/").status_code == 405
    assert visit(admin).get("/crm/export/?format=exe").status_code == 400


def test_a_workbook_that_would_overflow_is_refused(
    alice: Tenant, owner: User, visit: Visit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "MAX_XLSX_ROWS", 1)
    with entered(alice):
        make_contact()
        make_contact()

    assert visit(owner).get("/crm/export/?format=xlsx").status_code == 400


def test_as_many_questions_for_one_contact_as_for_three(in_alice: Tenant) -> None:
    found = []
    for _ in (1, 3):
        make_contact()
        make_contact()
        with CaptureQueriesContext(connection) as queries:
            list(exporting.export_csv(exporting.ids_of(Contact.objects.all())))
        found.append(len(queries))

    assert found[0] == found[1]


async def test_the_real_kind_of_server_gets_it_piece_by_piece_inside_the_tenant(alice: Tenant) -> None:
    made = []

    def pieces() -> Iterator[bytes]:
        for _ in range(3):
            made.append(current_schema())
            yield f"{current_schema()} ".encode()

    request: Any = ASGIRequest({"type": "http", "method": "GET", "path": "/", "headers": []}, io.BytesIO())
    request.tenant = alice
    response = stream(request, pieces(), name="a.csv", content_type="text/csv")

    assert response.is_async
    async for piece in response:
        assert piece == f"{alice.schema_name} ".encode() and len(made) in (1, 2, 3)
    assert made == [alice.schema_name] * 3 and current_schema() is None


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+1+cmd|x", "'+1+cmd|x"),
        ("-x", "'-x"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("'=1", "''=1"),
        ("'tis", "'tis"),
        ("-5.50", "-5.50"),
        ("+15550100", "+15550100"),
        ("+15550100; +15550101", "+15550100; +15550101"),
        ("Ann", "Ann"),
        ("", ""),
    ],
)
def test_defusing_and_back(text: str, written: str) -> None:
    assert defuse(text) == written and undo_defusing(written) == text


def test_the_file_of_bad_rows_can_be_mended_and_imported(alice: Tenant, owner: User, visit: Visit) -> None:
    with entered(alice):
        record = carry_out(make_import([("", "", "a@x.io", "", "Bonn"), ("", "", "", "nope", "Rome")]))
    data = b"".join(visit(owner).get(f"/crm/imports/{record.pk}/bad-rows/").streaming_content)

    with entered(alice):
        again = upload(data.replace(b"\r\n,,", b"\r\nAnn,,", 1))
        assert again.mapping[-1] == ""
        checked = check(again)
        assert checked.checked["created"] == 1 and checked.checked["bad"] == 1
