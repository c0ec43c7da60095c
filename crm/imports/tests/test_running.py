from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from crm.enums import FieldType
from crm.imports import chunks
from crm.imports.errors import ImportStateError
from crm.imports.models import BadRow, ContactImport, KnownHeader
from crm.imports.services import claiming, running
from crm.imports.services.running import cancel_import, run_import, start_import
from crm.imports.services.sweeping import resume_silent
from crm.imports.tests.factories import (
    HEADER,
    carry_out,
    check,
    csv_bytes,
    make_contact,
    make_import,
    people,
    start,
    upload,
    xlsx_bytes,
)
from crm.models import Contact, ContactChange, CustomField, Tag, Tally
from tenants.context import entered
from tenants.models import Tenant, User


def names() -> list[str]:
    return list(Contact.objects.order_by("id").values_list("contact_name", flat=True))


def counts(record: ContactImport) -> dict[str, int]:
    return {name: count for name, count in record.counts.items() if count}


def test_import_creates_a_contact_for_each_row(in_alice: Tenant) -> None:
    record = carry_out(make_import(people(3)))

    assert record.state == "done", record.error
    assert record.counts == {"created": 3, "updated": 0, "unchanged": 0, "skipped": 0, "duplicates": 0, "bad": 0}
    first = Contact.objects.get(contact_name="Person 1")
    assert first.contact_email == "person1@example.com"
    assert first.phones == [{"label": "", "number": "+15550000001"}]
    assert (first.business_name, first.city, first.status, first.version) == ("Business 1", "Berlin", "lead", 1)
    assert (first.import_id, first.score, first.scored_at) == (record.pk, None, None)
    assert list(Contact.objects.with_email("person2@example.com")) == [Contact.objects.get(contact_name="Person 2")]
    assert list(Contact.objects.with_phone("+15550000003")) == [Contact.objects.get(contact_name="Person 3")]


def test_import_stays_in_its_tenant(alice: Tenant, bob: Tenant) -> None:
    with entered(bob):
        make_contact(contact_name="Person 1", contact_email="person1@example.com")
    with entered(alice):
        record = carry_out(make_import(people(1)))
        assert counts(record) == {"created": 1}
    with entered(bob):
        assert names() == ["Person 1"]


def test_every_field_arrives(in_alice: Tenant, owner: User) -> None:
    CustomField.objects.create(key="shoe", label="Shoe", type=FieldType.NUMBER)
    CustomField.objects.create(key="likes", label="Likes", type=FieldType.MULTI_SELECT, options=["tea", "rum"])
    header = "First name,Last name,Mobile,Work phone,Tags,Value,Do not call,Owner,Shoe,Likes,Notes,Comment,Status,Website"
    row = 'Ann,Lee,+15550001,home: +15550002,"a, b","1,234.50",2026-01-02 03:04:05+00:00,OWNER@alice.test,38,rum; tea'
    row += ",one,two,customer,example.com"

    carry_out(upload(f"{header}\n{row}\n".encode()))

    contact = Contact.objects.get()
    assert contact.contact_name == "Ann Lee"
    assert contact.phones == [{"label": "mobile", "number": "+15550001"}, {"label": "home", "number": "+15550002"}]
    assert (contact.tags, contact.value, contact.owner) == (["a", "b"], Decimal("1234.50"), owner)
    assert (contact.do_not_call_at, contact.do_not_call_source) == (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "import")
    assert contact.custom_fields == {"shoe": 38, "likes": ["tea", "rum"]}
    assert (contact.notes, contact.status, contact.website) == ("one\ntwo", "customer", "https://example.com")
    assert set(Tag.objects.values_list("name", flat=True)) == {"a", "b"}


def test_days_and_numbers_are_read_as_was_said(in_alice: Tenant) -> None:
    CustomField.objects.create(key="born", label="Born", type=FieldType.DATE)
    record = upload(b"Name,Born,Phone\nAnn,03/04/2000,030 1234567\n")

    check(record, day_format="%d/%m/%Y", region="DE")
    start_import(record=record, on_duplicate="skip")
    run_import(import_id=record.pk)

    contact = Contact.objects.get()
    assert contact.custom_fields == {"born": "2000-04-03"} and contact.phone == "+49301234567"


def test_hostile_cells_are_only_text(in_alice: Tenant) -> None:
    hostile = "=cmd|' /C calc'!A0"
    data = csv_bytes([("Name", "Notes", "Tags"), (hostile, "'=1+1", 'a"b\\c {d}'), ("\\N", "\\.", "\\")])

    record = carry_out(upload(data))

    assert counts(record) == {"created": 2}
    rows = list(Contact.objects.order_by("id").values_list("contact_name", "notes", "tags"))
    assert rows == [(hostile, "=1+1", ['a"b\\c {d}']), ("\\N", "\\.", ["\\"])]


def test_bad_rows_and_unread_cells_are_left_out_and_kept_with_their_reasons(in_alice: Tenant) -> None:
    record = carry_out(make_import([("Ann", "", "nonsense", "12", ""), ("", "", "", "", "Bonn"), *people(1)]))

    assert (counts(record), record.unread) == ({"created": 2, "bad": 1}, 2)
    first, second = BadRow.objects.all()
    assert (first.number, first.content["cells"], first.was_imported) == (2, ["Ann", "", "nonsense", "12", ""], True)
    assert "E-mail: “nonsense” is not an e-mail address; Phone:" in first.content["reason"]
    assert (second.number, second.was_imported) == (3, False)
    assert second.content["reason"] == "there is neither a name nor a business"


def test_a_required_field_must_be_there_and_a_default_helps(in_alice: Tenant) -> None:
    CustomField.objects.create(key="kind", label="Kind", is_required=True)
    CustomField.objects.create(key="level", label="Level", default="basic")

    record = carry_out(upload(b"Name,Kind\nAnn,firm\nBen,\n"))

    assert counts(record) == {"created": 1, "bad": 1}
    assert Contact.objects.get().custom_fields == {"kind": "firm", "level": "basic"}
    assert BadRow.objects.get().content["reason"] == "Kind: must be filled in"


def test_defaults_hold_where_rows_say_nothing(in_alice: Tenant, owner: User) -> None:
    there = make_contact(contact_name="Old", contact_email="old@example.com", source="web", tags=["x"])
    record = upload(b"Name,E-mail,Source,Tags\nOld,old@example.com,,\nAnn,ann@example.com,fair,b\nBen,ben@example.com,,\n")

    carry_out(record, "update", status="customer", source="list", owner=owner.pk, tags=["a"])

    rows = Contact.objects.order_by("id").values_list("contact_name", "status", "source", "owner_id", "tags")
    assert list(rows) == [
        ("Old", "lead", "web", owner.pk, ["x", "a"]),
        ("Ann", "customer", "fair", owner.pk, ["a", "b"]),
        ("Ben", "customer", "list", owner.pk, ["a"]),
    ]
    there.refresh_from_db()
    assert there.version == 2


# --- duplicates ------------------------------------------------------------------------------------------------------

DUPLICATES = [
    ("Ann Lee", "Acme", "ANN@example.com ", "", "Bonn"),  # the same address, otherwise written
    ("O. Other", "", "", "+1 (555) 0100", "Bonn"),  # the same number, and a name that fits
    ("ben KING", "acme", "", "", "Bonn"),  # the same name in the same business
    ("Cid", "", "cid@example.com", "", "Bonn"),  # new
]


@pytest.fixture
def there(in_alice: Tenant) -> list[Contact]:
    return [
        make_contact(contact_name="Ann Lee", business_name="Acme", contact_email="ann@example.com"),
        make_contact(contact_name="Other", phone="+15550100"),
        make_contact(contact_name="Ben King", business_name="Acme", contact_email="ben@example.com"),
        make_contact(contact_name="Gone", contact_email="cid@example.com", deleted_at=timezone.now()),
    ]


def test_duplicates_are_skipped(there: list[Contact]) -> None:
    record = carry_out(make_import(DUPLICATES))

    assert record.checked == {"created": 1, "updated": 3, "unchanged": 0, "skipped": 0, "duplicates": 0, "bad": 0}
    assert counts(record) == {"created": 1, "skipped": 3}
    assert set(Contact.objects.live().values_list("city", flat=True)) == {"", "Bonn"}
    assert not ContactChange.objects.exists()


def test_duplicates_are_updated_with_filled_cells_only(there: list[Contact]) -> None:
    record = carry_out(make_import(DUPLICATES), "update")

    assert counts(record) == {"created": 1, "updated": 3}
    ann, other, ben = Contact.objects.filter(import_id=None, deleted_at=None).order_by("id")
    assert (ann.contact_email, ann.city, ann.version, ann.scored_at) == ("ANN@example.com", "Bonn", 2, None)
    assert (other.contact_name, other.phone) == ("O. Other", "+15550100")
    assert (ben.contact_name, ben.business_name, ben.contact_email) == ("ben KING", "acme", "ben@example.com")
    changes = {change.contact_id: change for change in ContactChange.objects.filter(import_id=record.pk)}
    assert changes[other.pk].before == {"contact_name": "Other", "city": ""} and changes[other.pk].version == 2


def test_duplicates_are_created_again(there: list[Contact]) -> None:
    record = carry_out(make_import([*DUPLICATES, DUPLICATES[0]]), "create")

    assert counts(record) == {"created": 5}


def test_rows_of_the_same_file_are_found_across_chunks(in_alice: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [*people(3), *people(3), ("Person 1", "Business 1", "new@example.com", "+15559999999", "Rome")]
    results = []
    for size in (1, 2, 100):
        monkeypatch.setattr(running, "ROWS", size)
        monkeypatch.setattr("crm.imports.services.checking.ROWS", size)
        Contact.objects.all().delete()
        record = carry_out(make_import(rows), "update")
        found = list(Contact.objects.order_by("id").values_list("contact_name", "contact_email", "city", "phones"))
        results.append((counts(record), record.checked, found))

    assert results[0] == results[1] == results[2]
    assert results[0][0] == {"created": 3, "duplicates": 4}
    assert results[0][1]["duplicates"] == 4
    numbers = [phone["number"] for phone in results[0][2][0][3]]
    assert results[0][2][0][1:3] == ("new@example.com", "Rome") and numbers == ["+15550000001", "+15559999999"]


def test_people_of_one_name_are_two_unless_one_of_them_is_only_a_name(in_alice: Tenant) -> None:
    make_contact(contact_name="John Smith", contact_email="john@example.com")
    make_contact(contact_name="Jane Roe")
    rows = [
        ("John Smith", "", "other@example.com", "", ""),
        ("john smith", "", "", "", ""),
        ("Jane Roe", "", "j@x.io", "", ""),
    ]

    record = carry_out(make_import(rows), "skip")

    assert counts(record) == {"created": 1, "skipped": 2}


def test_tags_and_numbers_are_added_and_wishes_survive(in_alice: Tenant) -> None:
    asked = datetime(2025, 1, 1, tzinfo=UTC)
    contact = make_contact(contact_email="a@example.com", tags=["old"], phone="+15550100", notes="kept")
    Contact.objects.update(do_not_call_at=asked, do_not_call_source="call")

    carry_out(upload(b"E-mail,Name,Tags,Phone,Notes,Do not call\na@example.com,Ann Lee,new,+15550101,,no\n"), "update")

    contact.refresh_from_db()
    assert (contact.tags, [phone["number"] for phone in contact.phones]) == (["old", "new"], ["+15550100", "+15550101"])
    assert (contact.notes, contact.do_not_call_at, contact.do_not_call_source) == ("kept", asked, "call")


def test_custom_fields_are_changed_one_by_one(in_alice: Tenant) -> None:
    for key in ("colour", "size"):
        CustomField.objects.create(key=key, label=key.title())
    contact = make_contact(contact_email="a@example.com", custom_fields={"colour": "red", "size": "L", "old": 1})

    carry_out(upload(b"E-mail,Name,Colour,Size\na@example.com,Ann Lee,blue,\n"), "update")

    contact.refresh_from_db()
    assert contact.custom_fields == {"colour": "blue", "size": "L", "old": 1}


def test_a_row_that_says_nothing_new_leaves_the_contact_alone(in_alice: Tenant) -> None:
    carry_out(make_import(people(3)))
    before = list(Contact.objects.order_by("id").values())

    record = carry_out(make_import(people(3)), "update")

    assert counts(record) == {"unchanged": 3} and record.checked["unchanged"] == 3
    assert list(Contact.objects.order_by("id").values()) == before


def test_a_contact_can_be_found_by_the_number_of_an_export(in_alice: Tenant) -> None:
    contact = make_contact(contact_name="Ann")

    record = carry_out(upload(f"Thanotopolis ID,Name\n{contact.pk},Anna\n999999,Ben\nx1,Cid\n".encode()), "update")

    contact.refresh_from_db()
    assert (contact.contact_name, counts(record)) == ("Anna", {"created": 1, "updated": 1, "bad": 1})


# --- interrupted -----------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Nothing in between may catch it, as nothing catches a kill -9."""


def test_a_killed_import_goes_on_without_losing_or_repeating_a_row(
    in_alice: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "ROWS", 3)
    record = start(make_import([*people(10), ("", "", "", "", "x"), *people(4, start=11)]))
    advance, calls = claiming.advance, []

    def killed(*args: Any, **kwargs: Any) -> None:
        calls.append(1)
        if len(calls) in (2, 4):  # a chunk is written, but not committed
            raise Killed
        advance(*args, **kwargs)

    monkeypatch.setattr(running, "advance", killed)
    for _ in range(3):
        ContactImport.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=5))
        assert resume_silent() == 1
        try:
            run_import(import_id=record.pk)
        except Killed:
            continue

    record.refresh_from_db()
    assert (record.state, counts(record)) == ("done", {"created": 14, "bad": 1})
    assert sorted(names()) == sorted(f"Person {n}" for n in range(1, 15))
    assert BadRow.objects.count() == 1


def test_an_import_is_cut_into_slices(in_alice: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "ROWS", 2)
    record = start(make_import(people(5)))

    for expected in (2, 4, 5, 5):
        run_import(import_id=record.pk, slice_s=-1)
        assert Contact.objects.count() == expected
    record.refresh_from_db()
    assert (record.state, record.progress, record.runner) == ("done", 1, "")


def test_a_second_worker_leaves_a_busy_import_alone(in_alice: Tenant) -> None:
    record = start(make_import(people(2)))
    ContactImport.objects.update(runner="somebody", heartbeat_at=timezone.now())

    run_import(import_id=record.pk)

    assert Contact.objects.count() == 0 and resume_silent() == 0


def test_a_worker_that_was_replaced_writes_nothing_more(in_alice: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "ROWS", 2)
    record = start(make_import(people(6)))
    original = chunks.Chunk.deal_with
    seen = []

    def replaced(self: Any, rows: Any) -> None:
        original(self, rows)
        seen.append(1)
        if len(seen) == 2:
            ContactImport.objects.update(runner="another")

    monkeypatch.setattr(chunks.Chunk, "deal_with", replaced)
    run_import(import_id=record.pk)

    record.refresh_from_db()
    assert (Contact.objects.count(), record.created, record.state) == (2, 2, "running")


def test_a_cancelled_import_stops_at_its_chunk(in_alice: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "ROWS", 2)
    record = start(make_import(people(6)))
    run_import(import_id=record.pk, slice_s=-1)

    cancel_import(record=record)
    run_import(import_id=record.pk)

    record.refresh_from_db()
    assert (record.state, record.created, Contact.objects.count()) == ("canceled", 2, 2)
    assert record.can_be_undone
    with pytest.raises(ImportStateError):
        cancel_import(record=record)


def test_an_import_starts_once(in_alice: Tenant) -> None:
    record = start(make_import(people(1)))

    with pytest.raises(ImportStateError):
        start_import(record=record, on_duplicate="skip")


def test_an_owner_from_elsewhere_is_refused(in_alice: Tenant, stranger: User) -> None:
    record = check(make_import(people(1)))

    with pytest.raises(ImportStateError, match="no longer a member"):
        start_import(record=record, on_duplicate="skip", defaults={"owner": stranger.pk})


def test_a_file_that_vanished_ends_the_import_with_a_reason(in_alice: Tenant) -> None:
    from crm.imports.sealed import delete_sealed

    record = start(make_import(people(1)))
    delete_sealed(record.path)

    run_import(import_id=record.pk)

    record.refresh_from_db()
    assert (record.state, record.error) == ("failed", "The uploaded file is no longer there. Upload it again.")


def test_as_many_questions_for_three_rows_as_for_thirty(in_alice: Tenant) -> None:
    found = []
    for count in (3, 30):
        Contact.objects.all().delete()
        for row in people(count):
            make_contact(contact_name=row[0], contact_email=row[2])
        record = start(make_import([*people(count), *people(count, start=1000)]), "update")
        with CaptureQueriesContext(connection) as queries:
            run_import(import_id=record.pk)
        found.append(len(queries))

    assert found[0] == found[1] < 40


def test_the_dashboards_totals_know_of_the_import(in_alice: Tenant) -> None:
    from django.db.models import Sum

    carry_out(make_import(people(5)))

    assert Tally.objects.filter(metric="contacts", key="lead").aggregate(n=Sum("count"))["n"] == 5


def test_columns_are_remembered_for_the_next_file(in_alice: Tenant) -> None:
    record = upload(b"Bezeichnung;Wer\nAcme;Ann\n")
    assert record.mapping == ["", ""]

    check(record, ["business_name", "contact_name"])

    assert set(KnownHeader.objects.values_list("header", "target")) == {
        ("bezeichnung", "business_name"),
        ("wer", "contact_name"),
    }
    assert upload(b"WER,bezeichnung\nBen,Acme\n").mapping == ["contact_name", "business_name"]


def test_a_workbook_is_imported_and_interrupted_like_any_file(in_alice: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "ROWS", 2)
    record = start(upload(xlsx_bytes([HEADER, *people(5)]), "book.xlsx"))

    for _ in range(4):
        run_import(import_id=record.pk, slice_s=-1)

    record.refresh_from_db()
    assert (record.state, names()) == ("done", [f"Person {n}" for n in range(1, 6)])
