"""What must hold for every file, whatever is in its cells."""

from __future__ import annotations

import csv
import io
from datetime import date, datetime
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm.contactfields import FIELDS, join_tags
from crm.enums import FieldType
from crm.fieldtypes import Reading, parse
from crm.imports import chunks, selectors
from crm.imports.defusing import defuse, undo_defusing
from crm.imports.encodings import ENCODINGS, guess_encoding
from crm.imports.errors import FileError
from crm.imports.exporting import export_csv, export_xlsx, ids_of
from crm.imports.identity import contradict, identity_of
from crm.imports.mapping import guess_header_row, guess_mapping, key_for, mapping_faults
from crm.imports.services import checking, running
from crm.imports.services.running import run_import, start_import
from crm.imports.services.uploading import change_reading, questions
from crm.imports.sniffing import Sniffer, decode_sample, guess_delimiter
from crm.imports.tests.factories import answered, carry_out, check, confirmed, csv_bytes, undo, upload
from crm.imports.vocabulary import normalise
from crm.models import Contact, CustomField
from crm.services.contacts import create_contact
from tenants.models import Tenant

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
CELL = TEXT | st.sampled_from(
    ["=1+1", "'=x", "+15550100", "-", "ann@example.com", "ANN@example.com", '"', "a;b|c", "\\N", "x" * 300]
)
HEADER = ("Name", "Business", "E-mail", "Phone", "City", "Tags", "Notes", "Status", "Value")
ROW = st.tuples(
    st.sampled_from(["Ann", "Ben", "ann "]) | CELL,
    st.sampled_from(["", "Acme"]) | CELL,
    st.sampled_from(["", "ann@example.com", "ben@example.com"]) | CELL,
    st.sampled_from(["", "+15550100", "mobile: +15550101; +15550100"]) | CELL,
    CELL,
    CELL,
    CELL,
    st.sampled_from(["", "customer", "Closed Won"]) | TEXT,
    st.sampled_from(["", "1,234.5", "-3"]) | TEXT,
)
ROWS = st.lists(ROW, min_size=1, max_size=8)
MODES = st.sampled_from(["skip", "update", "create"])


class _RollBack(Exception):
    pass


class emptied:
    """Every example starts from the same empty tenant."""

    def __enter__(self) -> None:
        self._atomic = transaction.atomic()
        self._atomic.__enter__()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._atomic.__exit__(kind or _RollBack, error or _RollBack(), trace)


# No deadline: machines differ. No database of examples: a failure is turned into a test of its own.
plainly = settings(deadline=None, database=None)
with_database = settings(plainly, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])


@with_database
@given(rows=ROWS, mode=MODES, size=st.integers(1, 4))
def test_every_row_is_counted_once_and_undo_leaves_nothing(in_alice: Tenant, rows: Any, mode: str, size: int) -> None:
    with emptied(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "ROWS", size)
        patch.setattr(checking, "ROWS", size)
        try:
            record = upload(csv_bytes([HEADER, *rows]))
        except FileError:
            return  # such as one whose rows are all empty
        record = carry_out(record, mode)

        assert record.state == "done", record.error
        assert record.counts == record.counts_by_mode[mode]  # the check told what happened then
        filled = [row for row in rows if any(cell.strip("\0 \t\r\n\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0") for cell in row)]
        assert sum(record.counts.values()) == record.total <= len(rows) and len(filled) <= len(rows)
        assert Contact.objects.live().count() == record.created
        assert record.bad_rows.filter(was_imported=False).count() == record.bad
        for contact in Contact.objects.all():
            contact.full_clean(exclude=["created_by", "owner"])
        if record.can_be_undone:
            assert undo(record).kept == 0
            assert not Contact.objects.live().exists()


@with_database
@given(rows=ROWS)
def test_where_a_file_is_cut_makes_no_difference(in_alice: Tenant, rows: Any) -> None:
    found = []
    for size in (1, 3, 100):
        with emptied(), pytest.MonkeyPatch.context() as patch:
            patch.setattr(running, "ROWS", size)
            try:
                record = carry_out(upload(csv_bytes([HEADER, *rows])), "update")
            except FileError:
                return
            names = ("contact_name", "business_name", "contact_email", "phones", "city", "tags", "notes", "status", "value")
            found.append((record.counts, list(Contact.objects.order_by("id").values_list(*names))))

    assert found[0] == found[1] == found[2]


@with_database
@given(rows=ROWS)
def test_an_export_is_imported_as_unchanged(in_alice: Tenant, rows: Any) -> None:
    with emptied():
        try:
            first = carry_out(upload(csv_bytes([HEADER, *rows])), "create")
        except FileError:
            return
        if not first.created:
            return

        again = carry_out(upload(b"".join(export_csv(ids_of(Contact.objects.all())))), "update")

        assert {name: count for name, count in again.counts.items() if count} == {"unchanged": first.created}


@plainly
@given(CELL)
def test_what_is_defused_comes_back(text: str) -> None:
    written = defuse(text)

    assert undo_defusing(written) == text
    if written[:1] in tuple("=@\t\r\n") and written:
        raise AssertionError(f"{written!r} begins like a formula")
    if written[:1] in ("+", "-"):
        assert not any(character.isalpha() or character in "=|!(" for character in written)


@plainly
@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused_in_words(data: bytes) -> None:
    sniffer = Sniffer()
    try:
        sniffer.feed(data)
        sniffer.kind()
    except FileError as error:
        assert str(error).endswith(".")
        return
    text = decode_sample(sniffer.sample, sniffer.encoding())
    assert guess_delimiter(text) in (",", ";", "\t", "|")


@plainly
@given(st.lists(st.lists(TEXT, min_size=2, max_size=5), min_size=1, max_size=10), st.sampled_from([",", ";", "\t", "|"]))
def test_any_headers_get_a_mapping_without_faults_but_the_missing_name(rows: Any, delimiter: str) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows(rows)
    number = guess_header_row(rows, [], {})
    mapping = [guess.target for guess in guess_mapping(rows[0], [], {})]

    assert number is None or 1 <= number <= len(rows)
    assert len(mapping_faults(mapping, rows[0], [])) <= 2
    assert all(normalise(normalise(cell)) == normalise(cell) for cell in rows[0])


@plainly
@given(TEXT, st.sets(st.sampled_from(["field", "a", "b_2"])))
def test_any_header_makes_a_key(label: str, taken: set[str]) -> None:
    key = key_for(label, taken)

    assert key not in taken and len(key) <= 40
    assert key[0].isascii() and key[0].isalpha() and key.replace("_", "a").isalnum()


def test_chunks_are_small_enough_for_a_live_bar() -> None:
    assert chunks.ROWS <= 5_000


# --- our own exports -------------------------------------------------------------------------------------------------

HARD = ["a,b", "C;D", "x|y", "back\\", "#N/A", "=1+1", "'=1", "12.345", "1,234", "03/04/1991", "A, B; C", "yes", "-"]
HARD += ["'#REF!", "a\x7fb", "\x85", "\x92s"]
ODD = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(HARD)
OPTIONS = ["A, B", "C;D", "E|F", "g\\", "#N/A", "yes"]
CUSTOM = {
    FieldType.TEXT: ODD,
    FieldType.LONG_TEXT: ODD | st.just("two\nlines"),
    FieldType.NUMBER: st.integers(-(10**9), 10**9) | st.decimals(-9999, 9999, places=3).map(float),
    FieldType.MONEY: st.decimals(-9999, 9999, places=2).map(str),
    FieldType.DATE: st.dates(min_value=date(1000, 1, 1), max_value=date(2400, 1, 1)).map(str),
    FieldType.DATE_TIME: st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2400, 1, 1)).map(str),
    FieldType.EMAIL: st.sampled_from(["a@example.com", "B.b+c@Example.org", "a@bücher.example"]),
    FieldType.PHONE: st.sampled_from(["+15035550110", "+15035550110 x123", "+442079460018"]),
    FieldType.URL: st.sampled_from(["https://example.com/?a=1,2;3", "example.com"]),
    FieldType.SELECT: st.sampled_from(OPTIONS),
    FieldType.MULTI_SELECT: st.lists(st.sampled_from(OPTIONS), max_size=4),
    FieldType.BOOLEAN: st.booleans(),
}
BUILT_IN = {
    "contact_name": ODD,
    "business_name": ODD.filter(str.strip).map("Biz {}".format),
    "contact_role": ODD,
    "address": ODD,
    "city": ODD,
    "tags": st.lists(ODD, max_size=4).map(join_tags),
    "notes": ODD,
    "phones": st.sampled_from(["", "+15035550110 x12; mobile: +442079460018", "fax, old: +15035550111"]),
    "value": st.decimals(-9999, 9999, places=2).map(str),
    "status": st.sampled_from(["lead", "closed_won"]),
    "do_not_mail": st.sampled_from(["", "2026-01-02 03:04:05+00:00"]),
}


@settings(with_database, max_examples=15)
@given(
    contacts=st.lists(
        st.tuples(st.fixed_dictionaries(BUILT_IN), st.fixed_dictionaries({}, optional=CUSTOM)), min_size=1, max_size=3
    ),
    kind=st.sampled_from(["csv", "xlsx"]),
)
def test_what_is_exported_is_imported_unchanged_for_every_type_of_field(in_alice: Tenant, contacts: Any, kind: str) -> None:
    with emptied():
        fields = {each: CustomField(key=each, label=f"My {each}", type=each, options=OPTIONS) for each in CUSTOM}
        CustomField.objects.bulk_create(fields.values())
        for built_in, custom in contacts:
            values = {
                key: FIELDS[key].parse(text, Reading()) for key, text in built_in.items() if text and text.strip("\0")
            }
            kept = {str(each): parse(fields[each], value) for each, value in custom.items()}
            values["custom_fields"] = {key: value for key, value in kept.items() if value not in (None, "")}
            create_contact(values=values, by=None)
        before = list(Contact.objects.order_by("id").values())
        export = export_csv if kind == "csv" else export_xlsx

        record = upload(b"".join(export(ids_of(Contact.objects.all()))), f"contacts.{kind}")
        assert (record.preset, questions(record)) == ("own", {})
        record = carry_out(record, "update")

        assert (record.findings["unread_examples"], record.problems) == ([], [])
        assert {name: count for name, count in record.counts.items() if count} == {"unchanged": len(contacts)}
        assert list(Contact.objects.order_by("id").values()) == before


# --- other people's files --------------------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [b"Name,Email\n", b"Ann;", b"\xff\xfe", b"\xef\xbb\xbf", b"sep=;\n", b"PK\x03\x04", b"\x00", b'"', b"\r", b"\n", b"\t",
     b"\xd0\x98\xd0\xb2", b"\xe9", b"\x81\x40", b"+1 503 555 0100", b"=1+1", b"#N/A", b"03/04/1991", b"Opt Out", b"yes"]
)  # fmt: skip


@settings(with_database, max_examples=25)
@given(data=st.binary(max_size=200) | st.lists(PIECES | st.binary(max_size=6), max_size=20).map(b"".join))
def test_any_bytes_as_a_file_are_imported_or_refused_in_words(in_alice: Tenant, data: bytes) -> None:
    with emptied():
        try:
            record = upload(data)
        except FileError as error:
            assert str(error).endswith(".")
            return
        selectors.samples(record)
        change_reading(record=record, encoding=record.encoding, header_row=record.header_row)
        mapping = confirmed(record)
        if mapping_faults(mapping, record.headers, []):
            return
        record = answered(check(record, mapping))

        assert record.state in ("ready", "failed") and (record.error.endswith(".") or not record.error)
        if record.state == "ready":
            selectors.preview(record)
            start_import(record=record, on_duplicate="update")
            run_import(import_id=record.pk)
            record.refresh_from_db()
            assert record.state == "done", record.error


NAMED = {
    "First Name": "Olga",
    "Last Name": "Outwood",
    "Company": "Outwood Dental",
    "Job Title": "Head",
    "Title": "Dr.",
    "Business Phone": "+15035550172",
    "Mobile Phone": "+15035550174",
    "Business Street": "1 High St",
    "Business City": "Portland",
    "Home City": "Salem",
    "E-mail Address": "olga@outwood.example",
    "Web Page": "outwood.example",
}


@settings(with_database, max_examples=25)
@given(order=st.permutations(list(NAMED)), delimiter=st.sampled_from([",", ";", "\t"]), upper=st.booleans())
def test_the_order_of_columns_makes_no_difference(in_alice: Tenant, order: list[str], delimiter: str, upper: bool) -> None:
    with emptied():
        header = [name.upper() if upper else name for name in order]
        carry_out(upload(csv_bytes([header, [NAMED[name] for name in order]], delimiter=delimiter)))

        olga = Contact.objects.get()
        assert (olga.contact_name, olga.business_name, olga.contact_role) == ("Dr. Olga Outwood", "Outwood Dental", "Head")
        assert (olga.contact_email, olga.website) == ("olga@outwood.example", "https://outwood.example")
        assert {(phone["label"], phone["number"]) for phone in olga.phones} == {
            ("work", "+15035550172"),
            ("mobile", "+15035550174"),
        }
        assert olga.address == "1 High St"


@plainly
@given(st.text(st.sampled_from("äöüßéèñçłżřåøÅÄ abcdeABC\n"), min_size=4, max_size=60), st.sampled_from(sorted(ENCODINGS)))
def test_a_text_in_any_encoding_is_guessed_without_failing(text: str, encoding: str) -> None:
    guess = guess_encoding(text.encode(encoding, "replace"))

    assert guess.encoding in ENCODINGS and set(guess.rivals) <= set(ENCODINGS) - {guess.encoding}


@plainly
@given(TEXT, TEXT, TEXT, TEXT)
def test_whether_names_contradict_does_not_depend_on_who_came_first(a: str, b: str, c: str, d: str) -> None:
    one, other = identity_of(a, b), identity_of(c, d)

    for shared_address in (True, False):
        assert contradict(one, other, shared_address=shared_address) == contradict(
            other, one, shared_address=shared_address
        )
        assert not contradict(one, one, shared_address=shared_address)
