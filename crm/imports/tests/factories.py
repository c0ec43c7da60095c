"""Boring files and rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

import openpyxl

from crm.imports.mapping import wish_columns
from crm.imports.models import ContactImport
from crm.imports.services.checking import check_import
from crm.imports.services.running import run_import, start_import
from crm.imports.services.undoing import start_undo, undo_import
from crm.imports.services.uploading import answer_questions, choose_columns, questions, upload_import
from crm.models import Contact
from crm.services.contacts import columns
from tenants.models import User

HEADER = ("Name", "Business", "E-mail", "Phone", "City")


def csv_bytes(rows: Iterable[Sequence[str]], *, delimiter: str = ",", encoding: str = "utf-8") -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue().encode(encoding)


def xlsx_bytes(*sheets: Sequence[Sequence[Any]], titles: Sequence[str] = ()) -> bytes:
    book = openpyxl.Workbook()
    for number, rows in enumerate(sheets):
        sheet = book.worksheets[0] if number == 0 else book.create_sheet()
        sheet.title = titles[number] if titles else f"Sheet {number + 1}"
        for row in rows:
            sheet.append(list(row))
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def people(count: int, *, start: int = 1) -> list[tuple[str, ...]]:
    return [
        (f"Person {n}", f"Business {n % 7}", f"person{n}@example.com", f"+1555{n:07d}", "Berlin")
        for n in range(start, start + count)
    ]


def upload(data: bytes, name: str = "contacts.csv", by: User | None = None) -> ContactImport:
    return upload_import(chunks=[data[n : n + 50_000] for n in range(0, len(data), 50_000)], name=name, by=by)


def make_import(rows: Iterable[Sequence[str]], header: Sequence[str] = HEADER, by: User | None = None) -> ContactImport:
    return upload(csv_bytes([header, *rows]), by=by)


def confirmed(record: ContactImport) -> list[str]:
    """Return the proposed mapping with what wishes about contact seem to mean, as a person would confirm it."""
    wishes = {position: questions(record).get(position) or "ignore" for position in wish_columns(record.headers)}
    return [wishes.get(position, target) for position, target in enumerate(record.mapping)]


def check(record: ContactImport, mapping: Sequence[str] | None = None, **options: Any) -> ContactImport:
    choose_columns(record=record, mapping=confirmed(record) if mapping is None else mapping, **options)
    check_import(import_id=record.pk)
    record.refresh_from_db()
    return record


def answered(record: ContactImport) -> ContactImport:
    """Answer whatever the check asks, as its suggestions say, and check again."""
    if record.state != "asking":
        return record
    questions = (record.findings or {})["questions"]
    told: dict[str, Any] = {
        each["kind"]: each["choices"][0] for each in questions if each["kind"] in ("day_format", "decimal_mark")
    }
    words = {
        each["target"]: {word["word"]: word["suggestion"] for word in each["words"]}
        for each in questions
        if "words" in each
    }
    answer_questions(record=record, words=words, **told)
    check_import(import_id=record.pk)
    record.refresh_from_db()
    return record


def start(record: ContactImport, on_duplicate: str = "skip", **defaults: Any) -> ContactImport:
    start_import(record=answered(check(record)), on_duplicate=on_duplicate, defaults=defaults)
    return record


def carry_out(record: ContactImport, on_duplicate: str = "skip", **defaults: Any) -> ContactImport:
    start(record, on_duplicate, **defaults)
    run_import(import_id=record.pk)
    record.refresh_from_db()
    return record


def undo(record: ContactImport) -> ContactImport:
    start_undo(record=record)
    undo_import(import_id=record.pk)
    record.refresh_from_db()
    return record


def make_contact(**values: Any) -> Contact:
    phones = values.pop("phone", None)
    values = {"contact_name": "Ann Lee", **values}
    if phones:
        values["phones"] = [{"label": "", "number": phones}]
    contact: Contact = Contact.objects.create(**columns(values))
    contact.refresh_from_db()
    return contact
