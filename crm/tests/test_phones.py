import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.phones import (
    Number,
    PhoneError,
    is_e164,
    read_caller,
    read_number,
    read_numbers,
    region_of,
    spellings,
    tel_uri,
    to_e164,
    write_number,
)

NUMBER = "+15557654399"


@pytest.mark.parametrize(
    ("text", "region", "number", "extension"),
    [
        ("(503) 555-0110 x123", "US", "+15035550110", "123"),
        ("503-555-0110 ext. 45", "US", "+15035550110", "45"),
        ("+1 415 555 0134;ext=22", "", "+14155550134", "22"),
        ("+44 (0)20 7946 0018", "", "+442079460018", ""),
        ("0044 (0) 20 7946 0018", "", "+442079460018", ""),
        ("+49 (0) 30 1234567", "", "+49301234567", ""),
        ("01865 555010", "GB", "+441865555010", ""),
        ("442079460018", "", "+442079460018", ""),
        ("+١ ٤١٥ ٥٥٥ ٠١٣٤", "", "+14155550134", ""),
        ("+15550100", "", "+15550100", ""),
    ],
)
def test_numbers_as_people_write_them(text: str, region: str, number: str, extension: str) -> None:
    assert read_number(text, region) == Number(number, extension)


@pytest.mark.parametrize(
    "text", ["+1 503 555-0192/0193", "", "5.55E+11", "+0", "+1", "12345", "call me", "+15551234567890123", "+999123456789"]
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(PhoneError):
        to_e164(text)


@pytest.mark.parametrize(
    "text",
    [
        NUMBER,
        f"{NUMBER} ",
        f"sip:{NUMBER}@10.0.0.1:5060;user=phone",
        "sip:15557654399@pbx.example",
        f'"Bob" <sip:{NUMBER}@pbx.example>',
        f"tel:{NUMBER}",
        "+1 (555) 765-4399",
        "15557654399",
        "0015557654399",
        "(555) 765-4399",
    ],
)
def test_a_caller_is_known_by_the_same_number_however_it_is_written(text: str) -> None:
    assert read_caller(text, "US").number == NUMBER


@pytest.mark.parametrize(
    "text",
    ["", "anonymous", "+anonymous", "Anonymous", "Restricted", "unavailable", "+266696687", "+7378742833", "+86282452253"]
    + ["+0", "+1", "+10000000000", "sip:anonymous@anonymous.invalid", "tel:unknown", "sip:"],
)
def test_callers_who_cannot_be_named_are_withheld(text: str) -> None:
    assert read_caller(text, "US").is_withheld


def test_a_sip_user_without_a_number_has_an_address() -> None:
    assert read_caller("sip:Alice@PBX.example:5060").address == "alice@pbx.example"


@given(st.text())
def test_any_text_is_a_caller_of_one_kind(text: str) -> None:
    caller = read_caller(text, "US")

    assert not (caller.number and caller.address)
    assert not caller.number or is_e164(caller.number)


@given(st.sampled_from(["+442079460018", "+49301234567", "+14155550134", "+5491123456789", "+819012345678"]))
def test_reading_a_number_again_changes_nothing(number: str) -> None:
    assert to_e164(number) == number
    assert number in spellings(number)


def test_mobile_numbers_with_two_spellings() -> None:
    assert set(spellings("+5491123456789")) == set(spellings("+541123456789"))
    assert set(spellings("+5215512345678")) == set(spellings("+525512345678"))
    assert set(spellings("+5511987654321")) == set(spellings("+551187654321"))
    assert spellings("+551133334444") == ("+551133334444",)


def test_the_country_of_a_number() -> None:
    assert (region_of("+15550100"), region_of("+442079460018"), region_of("nonsense")) == ("US", "GB", "")


@pytest.mark.parametrize(
    ("text", "region", "numbers"),
    [
        ("+1 415 555 0134 ::: +1 415 555 0135", "", ["+14155550134", "+14155550135"]),
        ("+1 (503) 555-0192 / +1 (503) 555-0193", "", ["+15035550192", "+15035550193"]),
        ("+1 503 555 0194, +1 503 555 0195", "", ["+15035550194", "+15035550195"]),
        ("+1 503 555 0194 or +1 503 555 0195", "", ["+15035550194", "+15035550195"]),
        ("+1 503 555 0194\n+1 503 555 0194", "", ["+15035550194"]),
        ("030/123456", "DE", ["+4930123456"]),
        ("030/123456; 040/654321", "DE", ["+4930123456", "+4940654321"]),
        ("", "", []),
    ],
)
def test_several_numbers_of_one_cell_are_parted(text: str, region: str, numbers: list[str]) -> None:
    assert read_numbers(text, region) == [Number(number) for number in numbers]


@pytest.mark.parametrize("text", ["+1 415 555 0134, ext. 22", "+1 415 555 0134; ext 22", "+1 415 555 0134 x22"])
def test_an_extension_stays_with_its_number(text: str) -> None:
    number = Number("+14155550134", "22")

    assert read_numbers(text) == [number]
    assert read_number(write_number(number.e164, number.extension)) == number
    assert tel_uri(number.e164, number.extension) == "tel:+14155550134;ext=22"


def test_the_piece_that_is_no_number_is_named() -> None:
    with pytest.raises(PhoneError, match="call me"):
        read_numbers("+1 415 555 0134; call me")
    with pytest.raises(PhoneError, match="at most"):
        read_numbers(";".join(f"+1415555{n:04}" for n in range(60)))
