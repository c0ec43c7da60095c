from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from crm.imports.mapping import (
    Guess,
    column_letter,
    guess_header_row,
    guess_mapping,
    key_for,
    mapping_faults,
    name_columns,
    phone_label,
)
from crm.imports.vocabulary import normalise


@dataclass
class Field:
    key: str
    label: str
    type: str = "text"
    options: list[str] = field(default_factory=list)


SHOE = Field("shoe_size", "Shoe size", "number")


def targets_of(*headers: str, known: dict[str, str] | None = None) -> list[str]:
    return [guess.target for guess in guess_mapping(headers, [SHOE], known or {})]


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ("Name", "contact_name"),
        ("contact_email", "contact_email"),
        ("E-MAIL_Address*", "contact_email"),
        ("Company", "business_name"),
        ("Phone (mobile)", "phones"),
        ("Mobile phone", "phones"),
        ("Work Telephone", "phones"),
        ("ZIP", "postal_code"),
        ("PLZ", "postal_code"),
        ("Shoe size", "cf_shoe_size"),
        ("cf_shoe_size", "cf_shoe_size"),
        ("First name", "first_name"),
        ("Surname", "last_name"),
        ("Owner", "owner"),
        ("Thanotopolis ID", "id"),
        ("ID", ""),
        ("Score", ""),
        ("Reason why not imported", ""),
        ("Favourite colour", ""),
        ("", ""),
    ],
)
def test_a_header_names_a_field(header: str, target: str) -> None:
    assert targets_of(header) == [target]


@pytest.mark.parametrize(
    ("header", "question"),
    [("E-mial", "contact_email"), ("Bussiness", "business_name"), ("Adress", "address"), ("Shoe sise", "cf_shoe_size")],
)
def test_a_misspelt_header_is_a_question(header: str, question: str) -> None:
    assert guess_mapping([header], [SHOE], {}) == [Guess("", question)]


def test_no_question_is_asked_about_a_field_that_another_column_is() -> None:
    assert guess_mapping(["E-mial", "E-mail"], [], {}) == [Guess(""), Guess("contact_email")]


def test_what_a_header_meant_before_it_means_again() -> None:
    assert targets_of("Bezeichnung", "Name", known={"bezeichnung": "business_name"}) == ["business_name", "contact_name"]


def test_a_field_that_is_gone_is_forgotten() -> None:
    assert targets_of("Name", known={"name": "cf_gone"}) == ["contact_name"]


def test_of_two_columns_of_one_name_the_first_counts_but_numbers_add_up() -> None:
    assert targets_of("Name", "Name", "Phone", "Phone", "Mobile") == ["contact_name", "", "phones", "phones", "phones"]


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        (["contact_name"], "2 columns; 1"),
        (["contact_name", "nonsense"], "no such field"),
        (["contact_name", "new:select"], "no such field"),
        (["city", "city"], "2 columns are to become City"),
        (["city", ""], "Choose the column that holds the name"),
        (["contact_name", "first_name"], "either Name"),
    ],
)
def test_a_mapping_that_cannot_be_used_is_explained(mapping: list[str], words: str) -> None:
    assert words in " ".join(mapping_faults(mapping, ["A", "B"], [SHOE]))


@pytest.mark.parametrize(
    "mapping", [["contact_name", ""], ["first_name", "last_name"], ["business_name", "new:date"], ["phones", "phones"]]
)
def test_a_mapping_that_can_be_used(mapping: list[str]) -> None:
    assert mapping_faults(mapping, ["A", "B"], [SHOE]) == []


@pytest.mark.parametrize(
    ("rows", "number"),
    [
        ([["Name", "City"], ["Ann", "Bonn"]], 1),
        ([["Our customers 2026", ""], [], ["Name", "City"], ["Ann", "Bonn"]], 3),
        ([["sep=,"], ["Name", "City"]], 2),
        ([["Spalte 1", "Spalte 2"], ["Ann", "Bonn"]], 1),
        ([["Ann", "ann@example.com"], ["Ben", "ben@example.com"]], None),
        ([["Ann", "+1 555 0100"]], None),
        ([], None),
    ],
)
def test_the_row_of_the_header(rows: list[list[str]], number: int | None) -> None:
    assert guess_header_row(rows, [], {}) == number


def test_columns_without_a_name_are_called_by_their_letter() -> None:
    assert name_columns([" Full\n name ", ""], 3) == ["Full name", "Column B", "Column C"]
    assert [column_letter(n) for n in (0, 25, 26, 701, 702)] == ["A", "Z", "AA", "ZZ", "AAA"]


def test_keys_of_new_fields_are_free_and_plain() -> None:
    assert key_for("Schuhgröße!", set()) == "schuhgrosse"
    assert key_for("2nd name", {"field_2nd_name"}) == "field_2nd_name_2"
    assert key_for("???", set()) == "field"


def test_labels_of_numbers_come_from_their_header() -> None:
    assert [phone_label(header) for header in ("Mobile", "Phone (work)", "Phone")] == ["mobile", "work", ""]


def test_normalised_headers_are_comparable() -> None:
    assert normalise("  É-Mail__ADDRESS: ") == "e mail address"
