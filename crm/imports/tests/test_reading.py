from __future__ import annotations

import io
import zipfile
from datetime import date, datetime, time
from typing import Any

import openpyxl
import pytest
from django.core.files.storage import default_storage

from crm.imports import reading
from crm.imports.errors import FileError
from crm.imports.models import ContactImport
from crm.imports.reading import cell_text, open_rows
from crm.imports.tests.factories import check, csv_bytes, upload, xlsx_bytes
from crm.models import Contact
from tenants.models import Tenant


def rows_of(record: ContactImport) -> list[tuple[int, list[str]]]:
    with open_rows(record) as rows:
        return list(rows)


def refusal(data: bytes, name: str = "contacts.csv") -> str:
    """Upload, and check if it gets so far; return why not. Nothing may be left behind."""
    try:
        record = check(upload(data, name))
    except FileError as error:
        assert not ContactImport.objects.exists()
        folder = "tenant_alice/crm/imports"
        assert not default_storage.exists(folder) or default_storage.listdir(folder)[1] == []
        return str(error)
    assert record.state == "failed"
    assert not Contact.objects.exists()
    return str(record.error)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_csv_of_every_kind_reads_the_same(in_alice: Tenant, delimiter: str, encoding: str) -> None:
    rows = [("Name", "City"), ("José, Müller; “J”", "Köln | Süd"), ('said "hi"', "two\nlines")]

    record = upload(csv_bytes(rows, delimiter=delimiter, encoding=encoding))

    assert [tuple(cells) for _, cells in rows_of(record)] == rows
    assert (record.header_row, record.headers, record.mapping) == (1, ["Name", "City"], ["contact_name", "city"])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_and_no_last_one(in_alice: Tenant, end: str) -> None:
    record = upload(f"Name,City{end}{end}Ann,Bonn{end},{end}Ben,Rome".encode())

    assert rows_of(record) == [(1, ["Name", "City"]), (3, ["Ann", "Bonn"]), (5, ["Ben", "Rome"])]


def test_stray_control_characters_are_taken_out(in_alice: Tenant) -> None:
    record = upload(b"Name,City\nA\x00n\x07n,Bo\x7fnn\n" + b"Ben,Rome\n" * 100)

    assert rows_of(record)[1] == (2, ["Ann", "Bonn"])


def test_ragged_rows_are_bad_or_short(in_alice: Tenant) -> None:
    record = check(upload(b"Name,City\nAnn\nBen,Rome,extra\nCid,Oslo,,,\n" + b"Dan,Ulm\n" * 3))

    assert record.problems == [[3, "the row has 3 cells, but there are only 2 columns"]]
    assert record.checked["created"] == 3 and record.checked["duplicates"] == 2


def test_a_quotation_mark_out_of_place_spoils_only_its_row(in_alice: Tenant) -> None:
    record = check(upload(b'Name,City\n"Ann"x,Bonn\nBen,Rome\n'))

    assert record.problems == [[2, "the quotation marks of this row do not fit together"]]
    assert record.checked["created"] == 1


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "The file is empty."),
        (b"\n\n  \n,,\n", "There is nothing in the file."),
        (b"Name,City\n", "no rows below"),
        (b"Name,City\n\n,\n", "no rows below"),
        (b'Name,City\nAnn,"Bonn\nBen,Rome\n', "Line 2: a quotation mark opens here and is never closed."),
        (b'Name,City\nAnn,"' + b"x" * 1_100_000 + b'"\n', "Line 2: a cell has more than 1,000,000 characters"),
        (b'Name,City\nAnn,"' + b"Bonn,\n" * 400_000, "Line 2: a cell has more than 1,000,000 characters"),
        (b"Name," + b"x" * 5_000_000, "too long to be a row"),
        (b",".join([b"Name"] * 500) + b"\nAnn\n", "Row 1 has 500 columns; 200 is the most"),
        (b"Name\n" + b"Ann\n" * 300 + b",".join([b"x"] * 500), "Row 302 has 500 columns"),
        (b"PK\x03\x04 and then nonsense", "damaged"),
    ],
)
def test_files_that_cannot_be_read_say_why(in_alice: Tenant, data: bytes, words: str) -> None:
    assert words in refusal(data)


def test_a_cell_that_is_too_large_is_left_out_and_said(in_alice: Tenant) -> None:
    record = check(upload(b"Name,Notes,City\nAnn," + b"x" * 200_000 + b"," + b"y" * 200 + b"\nBen,,Rome\n"))

    assert record.findings["unread_examples"] == [
        [2, "Notes", "at most 100,000 characters"],
        [2, "City", "at most 120 characters"],
    ]
    assert record.problems == [] and record.checked["created"] == 2


def test_a_file_over_the_limit_is_refused_while_it_arrives(in_alice: Tenant, settings: Any) -> None:
    settings.IMPORT_MAX_BYTES = 2 * 1024**2

    assert "larger than 2 MB" in refusal(b"Name\n" + b"Ann\n" * 1_000_000)


# --- workbooks -------------------------------------------------------------------------------------------------------


def test_cells_of_a_workbook_as_text(in_alice: Tenant) -> None:
    values = ["Ann", 7, 3.0, 2.5, True, date(2026, 11, 20), datetime(2026, 11, 20, 9, 30), time(9, 30), None, "'=1+1"]

    record = upload(xlsx_bytes([["Name", *"BCDEFGHIJ"], values]), "book.xlsx")

    assert rows_of(record)[1][1] == [
        "Ann",
        "7",
        "3",
        "2.5",
        "yes",
        "2026-11-20",
        "2026-11-20 09:30:00",
        "09:30:00",
        "",
        "=1+1",
    ]


def test_the_first_sheet_with_data_is_chosen_and_the_others_offered(in_alice: Tenant) -> None:
    book = xlsx_bytes([], [("Name",), ("Ann",)], [("Name",), ("Ben",)], titles=("Cover", "People", "More"))

    record = upload(book, "book.csv")  # what it is called does not count

    assert (record.kind, record.sheet, record.sheets) == ("xlsx", "People", ["People", "More", "Cover"])


def test_formulas_are_read_by_their_result_and_merged_cells_once(in_alice: Tenant) -> None:
    book = openpyxl.Workbook()
    sheet: Any = book.active
    sheet.append(["Name", "City", "Notes"])
    sheet.append(["Ann", "Bonn", "=1+1"])
    sheet.append(["Ben", None, None])
    sheet.merge_cells("A3:B3")
    file = io.BytesIO()
    book.save(file)

    record = upload(file.getvalue(), "book.xlsx")

    # Nobody has opened it, so the formula has no result; it is never run here.
    assert [cells for _, cells in rows_of(record)[1:]] == [["Ann", "Bonn"], ["Ben"]]


def packed(**parts: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name.replace("__", "/"), content)
    return file.getvalue()


def repacked(book: bytes, part: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(book)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, content if name == part else old.read(name))
    return file.getvalue()


BOMB = b"""<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>
<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>
<row r="1"><c r="A1" t="inlineStr"><is><t>&c;</t></is></c></row></sheetData></worksheet>"""


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (packed(**{"hello.txt": b"hello"}), "compressed folder"),
        (packed(mimetype=b"application/vnd.oasis.opendocument.spreadsheet"), "OpenDocument"),
        (packed(**{"xl__workbook.xml": b"nonsense"}), "cannot be opened"),
        (packed(**{"xl__workbook.xml": b"x", "bomb": bytes(60_000_000)}), "far too large"),
        (packed(**{"xl__workbook.xml": b"x", **{f"part{n}": b"" for n in range(5001)}}), "far too large"),
        (repacked(xlsx_bytes([("Name",), ("Ann",)]), "xl/worksheets/sheet1.xml", BOMB), "cannot be opened"),
        (repacked(xlsx_bytes([("Name",), ("Ann",)]), "xl/styles.xml", BOMB), "cannot be opened"),
        (repacked(xlsx_bytes([("Name",), ("Ann",)]), "xl/workbook.xml", BOMB), "cannot be opened"),
        (xlsx_bytes([]), "nothing in this sheet"),
        (xlsx_bytes([["x"] * 500, ["y"]]), "columns; 200 is the most"),
    ],
)
def test_workbooks_that_cannot_be_read_say_why(in_alice: Tenant, data: bytes, words: str) -> None:
    assert words in refusal(data, "book.xlsx")


def test_a_workbook_that_claims_a_million_columns_is_read_as_it_is(in_alice: Tenant) -> None:
    book = xlsx_bytes([("Name",), ("Ann",)])
    with zipfile.ZipFile(io.BytesIO(book)) as archive:
        sheet = archive.read("xl/worksheets/sheet1.xml").replace(b'ref="A1:A2"', b'ref="A1:XFD1048576"')

    record = upload(repacked(book, "xl/worksheets/sheet1.xml", sheet), "book.xlsx")

    assert rows_of(record)[0][1][0] == "Name" and record.headers == ["Name"]


def test_the_file_is_sealed_on_disk(in_alice: Tenant) -> None:
    record = upload(b"Name\nAnn Secret\n")

    with default_storage.open(record.path) as file:
        assert b"Secret" not in file.read()
    assert record.path.startswith(f"{in_alice.schema_name}/crm/imports/")


def test_a_file_that_was_cut_off_on_disk_says_so(in_alice: Tenant) -> None:
    record = upload(b"Name\nAnn\n")
    with open(default_storage.path(record.path), "r+b") as file:
        file.truncate(20)

    with pytest.raises(FileError):
        rows_of(record)


def test_the_limit_for_cells_holds_for_the_process() -> None:
    import csv

    assert csv.field_size_limit() == reading.MAX_CELL
    assert cell_text(1e300) == "1e+300"
