"""Files as other programs write them, and what used to become of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from crm.enums import FieldType
from crm.imports.errors import ImportStateError
from crm.imports.models import BadRow, ContactImport, KnownHeader
from crm.imports.services.checking import check_import
from crm.imports.services.running import run_import, start_import
from crm.imports.services.uploading import answer_questions, change_reading, choose_columns, questions
from crm.imports.tests.factories import carry_out, check, csv_bytes, make_contact, upload, xlsx_bytes
from crm.models import Contact, CustomField
from tenants.context import entered
from tenants.models import PhoneNumber, Tenant, User

Visit = Callable[..., Client]


def imported(data: bytes, mode: str = "skip", name: str = "contacts.csv", **options: Any) -> ContactImport:
    record = check(upload(data, name), **options)
    start_import(record=record, on_duplicate=mode)
    run_import(import_id=record.pk)
    record.refresh_from_db()
    assert record.state == "done", (record.state, record.error, record.findings)
    return record


def answer(record: ContactImport, **answers: Any) -> ContactImport:
    answer_questions(record=record, **answers)
    check_import(import_id=record.pk)
    record.refresh_from_db()
    return record


def counts(record: ContactImport) -> dict[str, int]:
    return {name: count for name, count in record.counts.items() if count}


# --- presets ---------------------------------------------------------------------------------------------------------

GOOGLE = (
    "First Name,Middle Name,Last Name,Organization Name,Organization Title,Notes,Labels,E-mail 1 - Label,E-mail 1 - Value,"
    "E-mail 2 - Label,E-mail 2 - Value,Phone 1 - Label,Phone 1 - Value,Phone 2 - Label,Phone 2 - Value,"
    "Address 1 - Label,Address 1 - Street,Address 1 - City,Address 1 - Postal Code,Address 1 - Country,"
    "Website 1 - Value\n"
    "Gina,,Golden,Golden Gate Bikes,Owner,met at fair,* myContacts ::: Friends,* Work,"
    "gina@golden.example ::: gina.private@mail.example,,,Mobile,+1 415 555 0134 ::: +1 415 555 0135,Work,+1 415 555 0199,"
    "Home,12 Elm St,Springfield,94110,US,golden.example\n"
)


def test_google_contacts_arrive_whole(in_alice: Tenant) -> None:
    record = imported(GOOGLE.encode())

    gina = Contact.objects.get()
    assert (record.preset, gina.contact_name, gina.contact_role) == ("google", "Gina Golden", "Owner")
    assert gina.phones == [
        {"label": "mobile", "number": "+14155550134"},
        {"label": "mobile", "number": "+14155550135"},
        {"label": "work", "number": "+14155550199"},
    ]
    assert (gina.contact_email, gina.business_name) == ("gina@golden.example", "Golden Gate Bikes")
    assert (gina.address, gina.city, gina.postal_code) == ("12 Elm St", "Springfield", "94110")
    assert gina.notes == "met at fair\nE-mail: gina.private@mail.example"
    assert gina.tags == ["Friends"]


OUTLOOK = (
    "Title,First Name,Middle Name,Last Name,Suffix,Company,Department,Job Title,Business Street,Business City,"
    "Business Postal Code,Home Street,Home City,Business Fax,Business Phone,Home Phone,Mobile Phone,Primary Phone,"
    "Categories,E-mail Address,E-mail 2 Address,Web Page\n"
    "Dr.,Olga,M.,Outwood,PhD,Outwood Dental,Surgery,Head of Practice,1 High St,Portland,97201,2 Low St,Salem,"
    "+1 503 555 0171,+1 503 555 0172,+1 503 555 0173,+1 503 555 0174,,VIP;Dentists,olga@outwood.example,"
    "olga.private@mail.example,http://outwood.example\n"
)


def test_outlook_tells_the_title_from_the_job_and_one_address_from_the_other(in_alice: Tenant) -> None:
    record = imported(OUTLOOK.encode())

    olga = Contact.objects.get()
    assert (record.preset, olga.contact_role) == ("outlook", "Head of Practice")
    assert olga.contact_name == "Dr. Olga M. Outwood PhD"
    assert [(phone["label"], phone["number"][-4:]) for phone in olga.phones] == [
        ("work fax", "0171"),
        ("work", "0172"),
        ("home", "0173"),
        ("mobile", "0174"),
    ]
    assert (olga.address, olga.city, olga.tags) == ("1 High St", "Portland", ["VIP", "Dentists"])
    assert "olga.private@mail.example" in olga.notes
    assert record.findings["left_out"] == ["Home Street", "Home City"]


def test_a_title_without_a_job_is_the_job_and_mr_is_no_part_of_a_name(in_alice: Tenant) -> None:
    imported(b"First Name,Last Name,Title\nJane,Force,VP Sales\n")
    imported(b"Anrede;Vorname;Nachname\nFrau;Eva;Meier\nHerr Dr.;Uwe;Kurz\n")

    assert list(Contact.objects.order_by("id").values_list("contact_name", "contact_role")) == [
        ("Jane Force", "VP Sales"),
        ("Eva Meier", ""),
        ("Dr. Uwe Kurz", ""),
    ]


@pytest.mark.parametrize(
    "header",
    [
        "Vorname;Nachname;Firma;Telefon;Ort;PLZ;Straße;E-Mail-Adresse",
        "Prénom;Nom;Société;Téléphone;Ville;Code postal;Rue;Courriel",
        "Nombre;Apellidos;Empresa;Teléfono;Ciudad;Código postal;Calle;Correo electrónico",
        "Nome;Cognome;Azienda;Telefono;Città;CAP;Indirizzo;Posta elettronica",
    ],
)  # fmt: skip
def test_headers_of_other_languages_are_known(in_alice: Tenant, header: str) -> None:
    record = imported(f"{header}\nJo;Blum;Blum AG;+49 30 1234567;Bonn;53111;Weg 1;j@b.de\n".encode())

    contact = Contact.objects.get()
    assert (contact.contact_name, contact.business_name, contact.phone) == ("Jo Blum", "Blum AG", "+49301234567")
    assert (contact.city, contact.postal_code, contact.address) == ("Bonn", "53111", "Weg 1")
    assert contact.contact_email == "j@b.de" and record.findings["left_out"] == []


# --- what is remembered, and what is left out ------------------------------------------------------------------------


def test_a_column_that_lost_a_clash_is_not_left_out_of_later_files(in_alice: Tenant) -> None:
    imported(b"Name,Email,Email,Notes\nDup,dup1@x.example,dup1b@x.example,n\n")

    later = upload(b"Name,Email\nAfter,after@x.example\n")

    assert later.mapping == ["contact_name", "contact_email"]
    assert not KnownHeader.objects.exists()
    assert Contact.objects.get().notes == "n\nEmail: dup1b@x.example"


def test_a_column_left_out_once_is_proposed_again(in_alice: Tenant) -> None:
    record = check(upload(b"Name,City,Colour\nAnn,Bonn,red\n"), ["contact_name", "", ""])
    assert record.findings["left_out"] == ["City", "Colour"]

    assert upload(b"Name,City\nBen,Rome\n").mapping == ["contact_name", "city"]


def test_what_a_person_chose_is_remembered_until_a_person_chooses_otherwise(in_alice: Tenant) -> None:
    data = b"Name,Moniker\nAnn,Acme\n"
    check(upload(data), ["contact_name", "business_name"])
    assert upload(data).mapping == ["contact_name", "business_name"]

    check(upload(data), ["contact_name", "city"])

    assert upload(data).mapping == ["contact_name", "city"]


def test_what_is_left_out_is_said_on_the_page_and_by_the_api(alice: Tenant, owner: User, visit: Visit) -> None:
    with entered(alice):
        record = check(upload(b"Name,Shoe,Empty\nAnn,38,\n"))

    page = visit(owner).get(record.get_absolute_url()).content.decode()
    body = visit(owner).get(f"/api/v1/imports/{record.pk}/").json()

    assert "1 column is not imported: Shoe." in page
    assert body["left_out"] == ["Shoe"] and body["warnings"] == ["1 column is not imported: Shoe."]


# --- wishes about contact --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    ["Email Opt Out", "Unsubscribed from all email", "UNSUB_TIME", "doNotEmail", "Do Not Call", "Marketing permission",
     "HasOptedOutOfEmail", "Fax Opt Out", "Newsletter", "Werbesperre", "Accepts Email Marketing", "GDPR consent"],
)  # fmt: skip
def test_a_wish_about_contact_is_always_asked_about(in_alice: Tenant, header: str) -> None:
    record = upload(csv_bytes([("Name", header), ("Ann", "1")]))

    assert record.mapping == ["contact_name", ""] and 1 in questions(record)
    with pytest.raises(ImportStateError, match="looks like a wish about being contacted"):
        choose_columns(record=record, mapping=record.mapping)
    choose_columns(record=record, mapping=["contact_name", "ignore"])


def test_opt_outs_of_other_systems_arrive_and_bring_nobody_back(in_alice: Tenant) -> None:
    there = make_contact(contact_name="Still In", contact_email="opt2@x.example", do_not_mail=True)
    data = (
        b"First Name,Last Name,Email,Email Opt Out,Do Not Call,Fax Opt Out\n"
        b"Opt,Out,opt1@x.example,1,1,0\nStill,In,opt2@x.example,0,0,0\n"
    )

    record = upload(data)
    choose_columns(record=record, mapping=[*record.mapping[:3], "do_not_mail", "do_not_call", "ignore"])
    check_import(import_id=record.pk)
    start_import(record=record, on_duplicate="update")
    run_import(import_id=record.pk)

    opted = Contact.objects.get(contact_name="Opt Out")
    assert opted.do_not_mail_at and opted.do_not_call_at and opted.do_not_mail_source == "import"
    there.refresh_from_db()
    assert there.do_not_mail_at and not there.do_not_call_at


def test_a_permission_means_the_opposite_and_its_words_are_asked_about(in_alice: Tenant) -> None:
    data = (
        b"Name,Email,Marketing status\nA,a@x.io,Non-marketing contact\nB,b@x.io,Marketing contact\nC,c@x.io,no\nD,d@x.io,\n"
    )
    record = check(upload(data), ["contact_name", "contact_email", "may_mail"])
    assert record.state == "asking"
    (question,) = record.findings["questions"]
    assert [word["word"] for word in question["words"]] == ["marketing contact", "non-marketing contact"]
    with pytest.raises(ImportStateError, match="Answer them first"):
        start_import(record=record, on_duplicate="skip")

    record = answer(record, words={"may_mail": {"Marketing contact": "yes", "Non-marketing contact": "no"}})
    start_import(record=record, on_duplicate="skip")
    run_import(import_id=record.pk)

    assert {contact.contact_name: bool(contact.do_not_mail_at) for contact in Contact.objects.all()} == {
        "A": True,
        "B": False,
        "C": True,
        "D": False,
    }


def test_a_time_of_unsubscribing_is_a_wish(in_alice: Tenant) -> None:
    imported(b"Email Address,First Name,UNSUB_TIME,MEMBER_RATING\na@x.io,Ann,2024-03-01 10:00:00,2\nb@x.io,Ben,,2\n")

    assert {contact.contact_name: bool(contact.do_not_mail_at) for contact in Contact.objects.all()} == {
        "Ann": True,
        "Ben": False,
    }


# --- words of other programs -----------------------------------------------------------------------------------------


def test_unknown_words_are_asked_about_once_each(in_alice: Tenant, owner: User) -> None:
    data = (
        b"First Name,Last Name,Email,Lead Status,Contact owner\n"
        b"Camille,Durand,c@hub.example,NEW,Sam Sales\nJohn,Smith,j@hub.example,OPEN_DEAL,Sam Sales\n"
        b"Ana,Lopez,a@hub.example,new,\nCy,Known,cy@hub.example,Customer,owner@alice.test\n"
    )
    record = check(upload(data))
    asked = {question["target"]: question["words"] for question in record.findings["questions"]}
    assert [(word["word"], word["count"], word["suggestion"]) for word in asked["status"]] == [
        ("new", 2, "lead"),
        ("open_deal", 1, "qualified"),
    ]
    assert [(word["text"], word["count"]) for word in asked["owner"]] == [("Sam Sales", 2)]

    record = answer(record, words={"status": {"NEW": "prospect", "OPEN_DEAL": ""}, "owner": {"Sam Sales": owner.pk}})
    start_import(record=record, on_duplicate="skip", defaults={"status": "qualified"})
    run_import(import_id=record.pk)

    rows = Contact.objects.order_by("id").values_list("status", "owner_id")
    assert list(rows) == [
        ("prospect", owner.pk),
        ("qualified", owner.pk),
        ("prospect", None),
        ("customer", owner.pk),
    ]


def test_an_answer_that_is_none_is_refused(in_alice: Tenant) -> None:
    record = check(upload(b"Name,Status\nAnn,odd\n"))

    for words in ({"status": {"odd": "king"}}, {"owner": {"odd": 10**6}}, {"city": {"odd": "x"}}):
        with pytest.raises(ImportStateError):
            answer_questions(record=record, words=words)


# --- days and numbers ------------------------------------------------------------------------------------------------


def born() -> list[str]:
    return [contact.custom_fields["born"] for contact in Contact.objects.order_by("id")]


@pytest.fixture
def with_fields(in_alice: Tenant) -> None:
    CustomField.objects.create(key="born", label="Birthday", type=FieldType.DATE)
    CustomField.objects.create(key="size", label="Size", type=FieldType.NUMBER)


@pytest.mark.parametrize("mark", ["/", "-"])
def test_the_order_of_days_is_the_columns(with_fields: None, mark: str) -> None:
    days = [each.replace("/", mark) for each in ("25/12/1990", "03/04/1991", "31/01/1992", "12/05/2015")]
    imported(csv_bytes([("Name", "Birthday"), *((f"D{n}", day) for n, day in enumerate(days))]))

    assert born() == ["1990-12-25", "1991-04-03", "1992-01-31", "2015-05-12"]


def test_one_american_date_makes_the_column_american(with_fields: None) -> None:
    imported(csv_bytes([("Name", "Birthday"), ("A", "03/04/1991"), ("B", "12/25/1990")]))

    assert born() == ["1991-03-04", "1990-12-25"]


@pytest.mark.parametrize("days", [["03/04/1991", "05/06/1992"], ["25/12/1990", "12/25/1990", "03/04/1991"]])
def test_where_the_column_cannot_tell_it_is_asked(with_fields: None, days: list[str]) -> None:
    record = check(upload(csv_bytes([("Name", "Birthday"), *((f"D{n}", day) for n, day in enumerate(days))])))
    (question,) = record.findings["questions"]
    assert (record.state, question["kind"], question["columns"]) == ("asking", "day_format", ["Birthday"])
    assert question["choices"] == ["%d/%m/%Y", "%m/%d/%Y"] and "03/04/1991" in question["examples"]

    record = answer(record, day_format="%d/%m/%Y")
    start_import(record=record, on_duplicate="skip")
    run_import(import_id=record.pk)

    assert "1991-04-03" in born() and len(born()) == len(days)


def test_days_that_are_the_same_either_way_need_no_asking(with_fields: None) -> None:
    imported(csv_bytes([("Name", "Birthday"), ("A", "05/05/1991"), ("B", "1990-12-25")]))

    assert born() == ["1991-05-05", "1990-12-25"]


def test_the_decimal_mark_is_the_columns(in_alice: Tenant) -> None:
    values = ["12.500", "1.234,56", "512,77 €", "1'234.50", "CHF 1'200.00", "1.250.000", "EUR 99"]
    rows = [(f"Geld {n}", value) for n, value in enumerate(values)]

    record = imported(csv_bytes([("Name", "Value"), *rows], delimiter=";"))

    found = [str(value) for value in Contact.objects.order_by("id").values_list("value", flat=True)]
    assert found == ["12500.00", "1234.56", "512.77", "1234.50", "1200.00", "1250000.00", "99.00"]
    assert record.unread == 0


def test_a_number_that_could_be_two_is_asked_about(with_fields: None) -> None:
    record = check(upload(csv_bytes([("Name", "Size"), ("A", "1.234"), ("B", "7")])))
    (question,) = record.findings["questions"]
    assert (question["kind"], question["examples"]) == ("decimal_mark", ["1.234"])

    record = answer(record, decimal_mark=",")
    start_import(record=record, on_duplicate="skip")
    run_import(import_id=record.pk)

    assert [contact.custom_fields["size"] for contact in Contact.objects.order_by("id")] == [1234, 7]


# --- cells that cannot be read ---------------------------------------------------------------------------------------


def test_an_unreadable_cell_costs_the_cell_and_not_the_contact(in_alice: Tenant) -> None:
    rows = [
        ("Web One", "w1@x.example", "n/a", ""),
        ("Web Two", "w2@x.example", "http://", ""),
        ("Web Six", '"X" <w6@x.example>', "", "12%"),
        ("Web Seven", "a@x.example; b@x.example", "", "1.00,000.00"),
        ("Web Eight", "no address", "four.example", "-"),
    ]

    record = imported(csv_bytes([("Name", "Email", "Website", "Value"), *rows]))

    assert counts(record) == {"created": 5}
    emails = [contact.contact_email for contact in Contact.objects.order_by("id")]
    assert emails == ["w1@x.example", "w2@x.example", "w6@x.example", "a@x.example", ""]
    assert Contact.objects.get(contact_name="Web Seven").notes == "E-mail: b@x.example"
    kept = list(BadRow.objects.filter(contact_import=record))
    assert [row.number for row in kept] == [2, 3, 4, 5, 6] and all(row.was_imported for row in kept)
    assert record.unread == record.findings["unread"] == 6


def test_unread_cells_are_downloaded_and_listed(alice: Tenant, owner: User, visit: Visit) -> None:
    with entered(alice):
        record = imported(b"Name,Website\nAnn,http://\n")

    page = visit(owner).get(f"{record.get_absolute_url()}unread-cells/")
    lines = b"".join(page.streaming_content).decode("utf-8-sig").splitlines()
    listed = visit(owner).get(f"/api/v1/imports/{record.pk}/unread-cells/").json()["results"]

    assert lines[0] == "Name,Website,Cells not imported" and lines[1].startswith("Ann,http://,Website: ")
    assert [row["cells"] for row in listed] == [["Ann", "http://"]]
    assert visit(owner).get(f"/api/v1/imports/{record.pk}/bad-rows/").json()["results"] == []
    with entered(alice):
        again = upload("\n".join(lines).replace("http://", "ann.example", 1).encode())
        assert again.mapping == ["contact_name", "website", ""]


def test_what_a_spreadsheet_says_of_its_own_errors_is_nothing(in_alice: Tenant) -> None:
    import io

    import openpyxl

    book = openpyxl.Workbook()
    sheet: Any = book.active
    for row in (
        ["Name", "City", "Phone"],
        ["Ann", "#N/A", 4915123456789],
        ["#REF!", "Rome", None],
        ["'#N/A", "#NAME?", ""],
    ):
        sheet.append(row)
    file = io.BytesIO()
    book.save(file)

    record = imported(file.getvalue(), name="book.xlsx")
    imported(b"Name,City\nCsv,#NAME?\n")

    assert list(Contact.objects.order_by("id").values_list("contact_name", "city")) == [
        ("Ann", ""),
        ("#N/A", ""),
        ("Csv", ""),
    ]
    assert Contact.objects.get(contact_name="Ann").phone == "+4915123456789"
    assert counts(record) == {"created": 2, "bad": 1} and record.unread == 2


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("4915123456789.0", "+4915123456789"),
        ("4.915123456789E+12", "+4915123456789"),
        ("4,91512E+11", None),
        ("4.915123E+11", None),
    ],
)
def test_numbers_a_spreadsheet_wrote_are_restored_or_reported(in_alice: Tenant, text: str, number: str | None) -> None:
    record = imported(csv_bytes([("Name", "Phone", "Postal code"), ("Sci", text, "97201.0")], delimiter=";"))

    sci = Contact.objects.get()
    assert sci.phones == ([{"label": "", "number": number}] if number else [])
    assert sci.postal_code == "97201"
    reasons = [reason for _, _, reason in record.findings["unread_examples"]]
    assert len(reasons) == (0 if number else 1)
    assert all(reason.startswith(f"a spreadsheet shortened this number to “{text}”") for reason in reasons)


def test_leading_zeros_that_a_workbook_only_shows_are_kept(in_alice: Tenant) -> None:
    import io

    import openpyxl

    book = openpyxl.Workbook()
    sheet: Any = book.active
    sheet.append(["Name", "Postal code"])
    sheet.append(["Ann", 1067])
    sheet["B2"].number_format = "00000"
    file = io.BytesIO()
    book.save(file)

    imported(file.getvalue(), name="book.xlsx")

    assert Contact.objects.get().postal_code == "01067"


def test_extensions_and_trunk_zeros_survive(in_alice: Tenant) -> None:
    numbers = [
        "(503) 555-0110 x123",
        "503-555-0112 ext. 45",
        "+44 (0)20 7946 0018",
        "+1 (503) 555-0192 / +1 (503) 555-0193",
    ]

    record = imported(csv_bytes([("Name", "Phone"), *((f"P{n}", number) for n, number in enumerate(numbers))]))

    assert record.region == "US" and record.unread == 0
    found = [
        [(phone["number"], phone.get("extension", "")) for phone in each.phones] for each in Contact.objects.order_by("id")
    ]
    assert found == [
        [("+15035550110", "123")],
        [("+15035550112", "45")],
        [("+442079460018", "")],
        [("+15035550192", ""), ("+15035550193", "")],
    ]


def test_numbers_without_a_country_are_asked_about_where_they_are_counted(alice: Tenant, owner: User, visit: Visit) -> None:
    PhoneNumber.objects.filter(tenant=alice).delete()
    with entered(alice):
        record = check(upload(b"Name,Phone\nAnn,030 1234567\nBen,030 7654321\n"))
        assert (record.region, record.findings["no_country"], record.checked["created"]) == ("", 2, 2)
    client = visit(owner)
    page = client.get(record.get_absolute_url()).content.decode()
    assert "2 phone numbers without a country" in page

    assert client.post(f"{record.get_absolute_url()}answers/", {"region": "DE"}).status_code == 302
    with entered(alice):
        check_import(import_id=record.pk)
        record.refresh_from_db()
        assert (record.region, record.findings["no_country"], record.findings["unread"]) == ("DE", 0, 0)


# --- who is who ------------------------------------------------------------------------------------------------------

SWITCHBOARD = csv_bytes(
    [
        ("Name", "Business", "Email", "Phone"),
        ("Ann Alpha", "Switch Ltd", "ann@switch.example", "+1 503 555 0120"),
        ("Bob Beta", "Switch Ltd", "bob@switch.example", "+1 503 555 0120"),
        ("Cid Gamma", "Switch Ltd", "cid@switch.example", "+1 503 555 0120"),
    ]
)
SHARED_ADDRESS = csv_bytes(
    [("Name", "Email"), ("Ann Alpha", "info@x.example"), ("Bob Beta", "info@x.example"), ("Cid Gamma", "info@x.example")]
)


@pytest.mark.parametrize("data", [SWITCHBOARD, SHARED_ADDRESS])
@pytest.mark.parametrize("mode", ["skip", "update", "create"])
def test_people_who_share_a_number_or_an_address_stay_three(in_alice: Tenant, data: bytes, mode: str) -> None:
    record = imported(data, mode)

    assert list(Contact.objects.order_by("id").values_list("contact_name", flat=True)) == [
        "Ann Alpha",
        "Bob Beta",
        "Cid Gamma",
    ]
    assert record.findings["shared"] == 2
    again = imported(data, "update")
    assert counts(again) == {"unchanged": 3}


def test_update_never_turns_ann_into_bob(in_alice: Tenant) -> None:
    ann = make_contact(contact_name="Ann Alpha", phone="+15035550120")

    record = imported(b"Name,Phone,City\nBob Beta,+15035550120,Rome\nA. Alpha,+15035550120,Bonn\n", "update")

    ann.refresh_from_db()
    assert (ann.contact_name, ann.city) == ("A. Alpha", "Bonn")
    assert counts(record) == {"created": 1, "updated": 1} == {k: v for k, v in record.checked.items() if v}


def test_rows_that_share_can_be_left_out(in_alice: Tenant) -> None:
    record = check(upload(SWITCHBOARD))

    start_import(record=record, on_duplicate="skip", on_shared="skip")
    run_import(import_id=record.pk)

    record.refresh_from_db()
    assert counts(record) == {"created": 1, "bad": 2}
    assert {row.content["reason"] for row in BadRow.objects.all()} == {
        "the row shares a phone number with somebody of another name"
    }


def test_the_check_counts_what_the_import_then_does(alice: Tenant, owner: User, visit: Visit) -> None:
    rows = [
        ("Ann Lee", "", "ann@example.com"),
        ("Ben", "", "ben@example.com"),
        ("", "", "ann@example.com"),
        ("", "", "c@x.io"),
    ]
    data = csv_bytes([("Name", "Business", "Email"), *rows])
    for mode in ("skip", "update", "create"):
        with entered(alice):
            Contact.objects.all().delete()
            make_contact(contact_name="Ann Lee", contact_email="ann@example.com", city="Bonn")
            record = check(upload(data))
            told = record.counts_by_mode[mode]
        if mode == "skip":
            page = visit(owner).get(record.get_absolute_url()).content.decode()
            assert "Skip the row: 1 new, 2 skipped, already there, 1 invalid" in page
        with entered(alice):
            start_import(record=record, on_duplicate=mode)
            run_import(import_id=record.pk)
            record.refresh_from_db()
            assert record.counts == told, mode


# --- encodings -------------------------------------------------------------------------------------------------------


def test_a_bad_byte_is_replaced_and_said(in_alice: Tenant) -> None:
    data = "Name,Email,Notes\nJosé Núñez,jose@enc.example,fine\n".encode() + b"Bad Byte,bad@enc.example,caf\xe9\n"

    record = imported(data)

    assert (record.encoding, record.findings["replaced"]) == ("utf-8", 1)
    assert list(Contact.objects.order_by("id").values_list("contact_name", "notes")) == [
        ("José Núñez", "fine"),
        ("Bad Byte", "caf�"),
    ]
    assert record.findings["replaced_in"] == [[3, "Notes"]]


def test_a_central_european_file_is_read_right(in_alice: Tenant) -> None:
    imported("Name;City\nJörg Müller;Köln\nZoë Özdemir;Łódź\n".encode("cp1250"))

    assert set(Contact.objects.values_list("city", flat=True)) == {"Köln", "Łódź"}


def test_an_uncertain_encoding_is_asked_about_and_chosen_by_the_api(alice: Tenant, owner: User, visit: Visit) -> None:
    with entered(alice):
        record = upload("Name,City\n김철수,서울\n".encode("euc_kr"))
        assert not record.encoding_is_sure
        with pytest.raises(ImportStateError, match="Choose the encoding"):
            choose_columns(record=record, mapping=record.mapping)
    client = visit(owner)
    assert "Which encoding is this file in?" in client.get(record.get_absolute_url()).content.decode()

    body = client.post(
        f"/api/v1/imports/{record.pk}/reading/", {"encoding": "euc_kr"}, content_type="application/json"
    ).json()

    assert (body["encoding"], body["encoding_is_sure"], body["state"]) == ("euc_kr", True, "uploaded")
    with entered(alice):
        record.refresh_from_db()
        check(record)
        start_import(record=record, on_duplicate="skip")
        run_import(import_id=record.pk)
        assert Contact.objects.get().contact_name == "김철수"


def test_the_hint_of_excel_is_no_header(in_alice: Tenant) -> None:
    imported("\ufeffsep=;\nKunde;Mailadresse\nAnna Sep;anna.sep@enc.example\n".encode())

    contact = Contact.objects.get()
    assert (contact.contact_name, contact.contact_email) == ("Anna Sep", "anna.sep@enc.example")


def test_the_hint_of_excel_is_no_contact_where_there_is_no_header(in_alice: Tenant) -> None:
    record = upload(b"sep=;\nAnn;ann@example.com\n")

    change_reading(record=record, header_row=None)

    assert record.headers == ["Column A", "Column B"]
    assert check(record, ["contact_name", "contact_email"]).total == 1


def test_composed_and_decomposed_are_one_contact(in_alice: Tenant) -> None:
    import unicodedata

    make_contact(contact_name="José García", business_name="Café")

    record = imported(unicodedata.normalize("NFD", "Name,Business\nJosé García,Café\n").encode())

    assert counts(record) == {"skipped": 1}


def test_questions_are_answered_on_the_page(alice: Tenant, owner: User, visit: Visit) -> None:
    with entered(alice):
        CustomField.objects.create(key="born", label="Birthday", type=FieldType.DATE)
        record = check(upload(b"Name,Birthday,Status\nAnn,03/04/1991,NEW\n"))
    client = visit(owner)
    page = client.get(record.get_absolute_url()).content.decode()
    assert "Which way are dates written in Birthday?" in page and "“NEW” in Status (1)" in page
    assert "Start the import" not in page

    assert client.post(f"{record.get_absolute_url()}answers/", {"status_0": "lead"}).status_code == 400
    chosen = {"day_format": "%d/%m/%Y", "status_0": "prospect"}
    assert client.post(f"{record.get_absolute_url()}answers/", chosen).status_code == 302

    with entered(alice):
        check_import(import_id=record.pk)
        record.refresh_from_db()
        assert record.state == "ready"
    assert "Start the import" in client.get(record.get_absolute_url()).content.decode()


def test_a_wish_has_to_be_said_on_the_page(alice: Tenant, owner: User, visit: Visit) -> None:
    with entered(alice):
        record = upload(b"Name,Email Opt Out\nAnn,1\n")
    client, url = visit(owner), record.get_absolute_url()

    page = client.post(f"{url}columns/", {"column_0": "contact_name", "column_1": ""})
    assert page.status_code == 400 and "Say what this column means" in page.content.decode()

    assert client.post(f"{url}columns/", {"column_0": "contact_name", "column_1": "do_not_mail"}).status_code == 302


def test_workbook_numbers_have_a_point_whatever_the_column_says(with_fields: None) -> None:
    imported(xlsx_bytes([("Name", "Size"), ("A", 12.345), ("B", "1.234,5")]), name="book.xlsx")

    assert [contact.custom_fields["size"] for contact in Contact.objects.order_by("id")] == [12.345, 1234.5]


def test_imports_of_others_are_untouched(alice: Tenant, bob: Tenant) -> None:
    with entered(bob):
        make_contact(contact_name="Ann Alpha", contact_email="ann@switch.example", phone="+15035550120")
    with entered(alice):
        carry_out(upload(SWITCHBOARD), "update")
    with entered(bob):
        assert [(c.contact_name, c.business_name) for c in Contact.objects.all()] == [("Ann Alpha", "")]
        assert not KnownHeader.objects.exists()
