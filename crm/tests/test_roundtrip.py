"""What is written down, in exports and on pages, is what is read again: for every type of field and any value."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.contactfields import FIELDS, clean_label, clean_tags, join_tags, phone_entry, read_phones, split_tags, write_phones
from crm.enums import FieldType, Status
from crm.fieldtypes import (
    DAY_FORMATS,
    FieldError,
    Reading,
    date_formats_fitting,
    decide,
    decimal_marks_fitting,
    join_list,
    parse,
    parse_day,
    read_decimal,
    read_money,
    split_currency,
    split_list,
    to_text,
)
from crm.models import Contact

ODD = st.text(alphabet=list("ab,;|\\/:& \n\"'xé1字\u0301"), max_size=12) | st.text(max_size=12)


@dataclass
class Definition:
    type: str
    options: list[str] = field(default_factory=list)
    key: str = "x"
    label: str = "X"


def options_of(texts: list[str]) -> list[str]:
    """As `CustomField.clean` keeps them."""
    return list(dict.fromkeys(filter(None, (" ".join(text.split()) for text in map(str, clean_tags(texts))))))


@given(
    st.sampled_from([kind for kind in FieldType if "select" not in kind]),
    ODD
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.datetimes().map(str)
    | st.decimals().map(str)
    | st.dates().map(str),
    st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/New_York"]),
)
def test_a_kept_value_is_read_back_from_its_text(kind, raw, zone):
    reading = Reading(zone=ZoneInfo(zone))
    try:
        kept = parse(Definition(kind), raw, reading)
    except FieldError:
        return

    text = to_text(Definition(kind), kept, reading.zone)

    assert parse(Definition(kind), text, reading) == kept
    if kind in (FieldType.NUMBER, FieldType.MONEY):
        assert parse(Definition(kind), text, Reading(decimal_mark=".")) == kept


@given(st.lists(ODD, min_size=1, max_size=6), st.data())
def test_chosen_options_are_read_back_whatever_they_hold(texts, data):
    options = options_of(texts)
    if not options:
        return
    definition = Definition("multi_select", options)
    chosen = [option for option in options if data.draw(st.booleans())] or options[:1]

    assert parse(definition, to_text(definition, chosen)) == chosen
    assert parse(Definition("select", options), to_text(Definition("select", options), chosen[0])) == chosen[0]


@pytest.mark.parametrize("chosen", [["A, B"], ["A, B", "C;D"], ["A", "B"], ["A; B", "A"], ["back\\", "A"]])
def test_options_with_separators_survive_an_export(chosen):
    definition = Definition("multi_select", ["A", "B", "A, B", "C;D", "A; B", "back\\"])

    assert set(parse(definition, to_text(definition, chosen))) == set(chosen)


def test_options_of_other_programs_need_no_marks():
    definition = Definition("multi_select", ["Red", "Green, light", "Blue"])

    assert parse(definition, "Green, light") == ["Green, light"]
    assert parse(definition, "Green, light; blue") == ["Green, light", "Blue"]
    assert parse(definition, "Red,Blue") == ["Red", "Blue"]


@given(st.lists(ODD))
def test_lists_and_tags_are_read_back(items):
    tags = clean_tags(items)

    assert split_tags(join_tags(tags)) == tags
    kept = [item.strip() for item in items if item.strip()]
    assert list(filter(None, split_list(join_list(kept, "; ", ";"), ";"))) == kept


@given(st.lists(st.tuples(ODD | st.sampled_from(["tel", "x", "ext", "555 123 4567", "# 1"]), st.sampled_from(["", "12"]))))
def test_numbers_are_read_back_with_label_and_extension(entries):
    phones = [
        phone_entry(f"+1503555{n:04}", label=clean_label(label), extension=extension)
        for n, (label, extension) in enumerate(entries[:50])
    ]

    assert read_phones(write_phones(phones)) == phones


@pytest.mark.parametrize(
    ("text", "phones"),
    [
        ("+1 415 555 0134 ::: +1 415 555 0135", [("", "+14155550134"), ("", "+14155550135")]),
        ("mobile: +1 415 555 0134\nwork: +1 415 555 0135", [("mobile", "+14155550134"), ("work", "+14155550135")]),
        ("tel:+1-415-555-0134", [("", "+14155550134")]),
    ],
)
def test_labels_stand_before_a_colon_and_are_no_numbers(text, phones):
    assert [(phone["label"], phone["number"]) for phone in read_phones(text)] == phones
    with pytest.raises(FieldError, match="two numbers"):
        read_phones("+1 415 555 0134: +1 415 555 0135")


@pytest.mark.parametrize(
    ("text", "value", "marks"),
    [
        ("1.234,56", "1234.56", {","}),
        ("1,234.56", "1234.56", {"."}),
        ("1'234.50", "1234.50", {"."}),
        ("1’234.50", "1234.50", {"."}),
        ("1 234,5", "1234.5", {","}),
        ("1.250.000", "1250000", {","}),
        ("12,34,567", "1234567", {"."}),
        ("0.125", "0.125", {"."}),
        ("(1,234.50)", "-1234.50", {"."}),
        ("1.234,50-", "-1234.50", {","}),
        ("−7", "-7", {".", ","}),
        ("99.–", "99", {".", ","}),
        ("1.5e-07", "1.5E-7", {"."}),
        ("١٢٫٥", "12.5", {"."}),
        ("1234", "1234", {".", ","}),
    ],
)
def test_numbers_as_people_of_many_countries_write_them(text, value, marks):
    assert read_decimal(text) == Decimal(value)
    assert decimal_marks_fitting(text) == marks


@pytest.mark.parametrize("text", ["1,2,3", "12.34.56", "1..2", "", "-", ".", "1 2", "many", "1'23", "9" * 100])
def test_what_is_no_number_in_any_of_them(text):
    assert decimal_marks_fitting(text) == frozenset()
    with pytest.raises(FieldError):
        read_decimal(text)


def test_what_could_be_two_numbers_is_refused_until_the_column_is_decided():
    with pytest.raises(FieldError, match="could be"):
        read_decimal("12.500")

    column = ["12.500", "1.234,56", "512,77 €", "1.250.000", "EUR 99", "N/A"]
    assert decide(column, decimal_marks_fitting) == {","}
    assert read_decimal("12.500", ",") == 12500
    assert read_decimal("12.500", ".") == Decimal("12.5")
    assert read_money("12.500") == 12500  # money has two decimals
    assert decide(["12.500"], decimal_marks_fitting) == {".", ","}


@pytest.mark.parametrize(
    ("text", "amount", "currency"),
    [
        ("CHF 1'200.00", "1'200.00", "CHF"),
        ("EUR 99", "99", "EUR"),
        ("99 eur", "99", "eur"),
        ("$5", "5", "$"),
        ("-$5", "-5", "$"),
        ("$-5", "-5", "$"),
        ("US$ 5.00", "5.00", "US$"),
        ("512,77 €", "512,77", "€"),
        ("20 kr", "20", "kr"),
        ("Fr. 20", "20", "Fr."),
        ("R$ 1.234,50", "1.234,50", "R$"),
        ("12 apples", "12 apples", ""),
        ("$5 €", "$5 €", ""),
        ("5", "5", ""),
    ],
)
def test_a_currency_beside_a_number_is_known(text, amount, currency):
    assert split_currency(text) == (amount, currency)


@pytest.mark.parametrize(
    ("text", "formats"),
    [
        ("25/12/1990", {"%d/%m/%Y"}),
        ("12/25/1990 5:30 PM", {"%m/%d/%Y"}),
        ("03/04/1991", {"%d/%m/%Y", "%m/%d/%Y"}),
        ("3.4.1991", {"%d.%m.%Y"}),
        ("31/01/92", {"%d/%m/%y"}),
        ("1991-04-03", {"%Y-%m-%d"}),
        ("1991-04-03T10:00", {"%Y-%m-%d"}),
        ("3 May 1991", {"%d %b %Y", "%d %B %Y"}),
        ("April 3, 1991", {"%B %d, %Y"}),
        ("N/A", set()),
        ("", set()),
        ("31/31/2000", set()),
    ],
)
def test_the_formats_a_day_may_be_in(text, formats):
    assert date_formats_fitting(text) == formats


def test_a_day_that_could_be_two_is_refused_until_the_column_is_decided():
    with pytest.raises(FieldError, match="could be"):
        parse_day("03/04/1991")

    column = ["25/12/1990", "03/04/1991", "31/01/1992", "12/05/2015"]
    assert decide(column, date_formats_fitting) == {"%d/%m/%Y"}
    days = [str(parse_day(text, Reading(day_format="%d/%m/%Y"))) for text in column]
    assert days == ["1990-12-25", "1991-04-03", "1992-01-31", "2015-05-12"]
    assert str(parse_day("05/05/2015")) == "2015-05-05"
    with pytest.raises(FieldError, match="such as"):
        parse_day("12/25/1990", Reading(day_format="%d/%m/%Y"))


@given(st.sampled_from(DAY_FORMATS), st.dates(min_value=datetime(1970, 1, 1).date(), max_value=datetime(2060, 1, 1).date()))
def test_a_day_in_any_format_is_read_by_that_format(shape, day):
    if "%y" in shape and not 1970 <= day.year <= 2060:
        return
    assert shape in date_formats_fitting(day.strftime(shape))
    assert parse_day(day.strftime(shape), Reading(day_format=shape)) == day


@given(st.text(max_size=40))
def test_any_text_is_a_number_or_a_day_or_refused(text):
    assert decimal_marks_fitting(text) <= {".", ","}
    assert date_formats_fitting(text) <= set(DAY_FORMATS)
    for key, contact_field in FIELDS.items():
        try:
            contact_field.parse(text, Reading())
        except FieldError:
            assert key


@pytest.mark.parametrize("word", ["closed_won", "Closed, won", "closed-won", "GEWONNEN", "gewonnen "])
def test_a_status_is_known_by_its_key_and_by_what_the_tenant_calls_it(word):
    reading = Reading(statuses=(("Gewonnen", Status.CLOSED_WON), ("Kunde", Status.CUSTOMER)))

    assert FIELDS["status"].parse(word, reading) == Status.CLOSED_WON
    with pytest.raises(FieldError, match="Gewonnen, Kunde"):
        FIELDS["status"].parse("NEW", reading)


def test_text_is_composed_once_it_is_read():
    decomposed = "Jose\u0301"

    assert FIELDS["contact_name"].parse(decomposed, Reading()) == "José"
    assert parse(Definition("text"), decomposed) == "José"
    assert parse(Definition("select", ["José"]), decomposed) == "José"
    assert split_tags(f"{decomposed}, José") == ["José"]


def test_a_built_in_field_is_read_back_from_its_text():
    contact = Contact(
        contact_name="Zoë",
        tags=["a,b", "c\\", "d|e"],
        phones=[{"label": "a:b", "number": "+15035550110", "extension": "12"}, {"label": "", "number": "+15035550111"}],
        value=Decimal("1234.50"),
        notes="one\ntwo",
        do_not_call_at=datetime(2026, 1, 2, tzinfo=UTC),
    )

    for key in ("contact_name", "tags", "phones", "value", "notes"):
        assert FIELDS[key].parse(FIELDS[key].text(contact), Reading()) == getattr(contact, key)
