"""Telephone numbers as people and networks write them, and as they are stored: E.164.

Reading is left to Google's libphonenumber (`phonenumbers`). What is ours: a number is refused only when it cannot be one
(new and fictional ranges are in no table), the extension is kept, and a caller's identity has one shape everywhere.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from phonenumbers import PhoneNumber

_E164 = re.compile(r"\+[1-9]\d{6,14}")
_EXTENSION = re.compile(
    r"(?:;ext=|[,;\s]*(?:\bext(?:ension)?\b\.?|\bx|#|\bпоб\.?|\bанекс\b)[:\s]*)(\d{1,7})\s*$", re.IGNORECASE
)
# A trunk zero in brackets behind the country's code, as in +44 (0)20: it is not dialed from abroad.
_TRUNK_ZERO = re.compile(r"^(\s*(?:\+|00)\s*\d{1,3}[\s.\-/]*)\(\s*0\s*\)")
WITHHELD_WORDS = frozenset(
    {"anonymous", "unknown", "restricted", "unavailable", "blocked", "private", "withheld", "unidentified", "asserted"}
)
# Words on a keypad that some networks send for a number they keep back: ANONYMOUS, RESTRICTED, BLOCKED, UNKNOWN,
# UNAVAILABLE, PRIVATE. As numbers they would be one and the same person calling all the time. The first is in the
# carrier's documentation; the others follow its pattern and are UNCONFIRMED.
_SPELLED = frozenset({"266696687", "7378742833", "2562533", "8656696", "86282452253", "774828", "7748283"})
_SIP = re.compile(r"^\s*(?:\"?[^<\"]*\"?\s*<)?\s*(sips?|tel):([^>]*)>?\s*$", re.IGNORECASE)


# What certainly parts two numbers in one cell: Google's ` ::: `, a line, a bar, and a semicolon that no extension follows.
_CERTAIN = re.compile(r"\s*:::\s*|[\n\r|]+|;(?!\s*(?:ext|x|#))", re.IGNORECASE)
# What may part two numbers, or belong to one: `030/123456`, `+1 415 555 0134, ext. 22`.
_POSSIBLE = re.compile(r"\s+(?:or|and|und|oder|ou|o|y|e|et)\s+|[,/&]", re.IGNORECASE)
MAX_NUMBERS = 50  # in one cell


class PhoneError(ValueError):
    """The text is no telephone number; the message is for people."""


@dataclass(frozen=True, slots=True)
class Number:
    e164: str
    extension: str = ""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling: a number, else a SIP address (`user@host`), else nobody that can be named: both are empty."""

    number: str = ""  # E.164
    address: str = ""

    @property
    def is_withheld(self) -> bool:
        return not (self.number or self.address)


def read_number(text: str, region: str = "") -> Number:
    """Return the number in E.164 form and its extension. Raises PhoneError.

    `region` is the country (ISO 3166, two letters) of numbers that are written without one. A number without `+` that is
    valid only with one (`4930123456`, as spreadsheets store it) is read as if it had one.
    """
    found = _EXTENSION.search(text)
    extension = found.group(1) if found else ""
    return Number(_read(_tidy(text[: found.start()] if found else text), region), extension)


def split_numbers(text: str, region: str = "") -> list[str]:
    """Return the pieces of a cell that are numbers of their own, unread; labels stay with their piece.

    A comma, a slash or a word such as "or" parts two numbers only where each piece is one.

    >>> split_numbers("030/123456 ::: +1 (503) 555-0192 / +1 (503) 555-0193", "DE")
    ['030/123456', '+1 (503) 555-0192', '+1 (503) 555-0193']
    """
    found: list[str] = []
    for piece in filter(str.strip, _CERTAIN.split(text)):
        parts = [part.strip() for part in _POSSIBLE.split(piece) if part.strip()]
        found += parts if len(parts) > 1 and all(_is_readable(part, region) for part in parts) else [piece.strip()]
    return found


def read_numbers(text: str, region: str = "") -> list[Number]:
    """Return every number of a cell, each once, in order. Raises PhoneError, which names the piece that is none."""
    pieces = split_numbers(text, region)
    if len(pieces) > MAX_NUMBERS:
        raise PhoneError(f"at most {MAX_NUMBERS} telephone numbers")
    return list(dict.fromkeys(read_number(piece, region) for piece in pieces))


def _is_readable(text: str, region: str) -> bool:
    if sum(character.isdigit() for character in text) < 7:  # an area's code, or the last digits of a second number
        return False
    try:
        read_number(text, region)
    except PhoneError:
        return False
    return True


def to_e164(text: str, region: str = "") -> str:
    """Return the number in E.164 form, without its extension. Raises PhoneError."""
    return read_number(text, region).e164


def write_number(number: str, extension: str = "") -> str:
    """Return a number and its extension as `read_number` reads them: `+15035550110 x123`."""
    return f"{number} x{extension}" if extension else number


def tel_uri(number: str, extension: str = "") -> str:
    """Return what a link to a number dials (RFC 3966)."""
    return f"tel:{number};ext={extension}" if extension else f"tel:{number}"


def is_e164(text: str) -> bool:
    """Tell whether a text has the form of an E.164 number."""
    return _E164.fullmatch(text) is not None


def read_caller(text: str, region: str = "") -> Caller:
    """Return who is calling, from a carrier's `From`: a number in any spelling, a `sip:` or `tel:` address, or a word.

    >>> read_caller("sip:+15557654399@10.0.0.1:5060;user=phone").number
    '+15557654399'
    """
    text = text.strip()
    address = _SIP.match(text)
    if address:
        scheme, rest = address.group(1).lower(), unquote(address.group(2))
        user = re.split(r"[;?]", rest, maxsplit=1)[0]
        user, _, host = user.partition("@")
        found = read_caller(user, region) if user else Caller()
        if found.number or scheme == "tel" or not user or _is_withheld(user):
            return Caller(found.number)
        host = re.sub(r":\d+$", "", host).casefold()
        return Caller(address=f"{user.casefold()}@{host}"[:120] if host else "")
    if not text or _is_withheld(text) or any(c.isalpha() for c in text):
        return Caller()
    try:
        number = to_e164(text, region)
    except PhoneError:
        return Caller()
    digits = number[1:]
    return Caller() if digits in _SPELLED or len(set(digits[1:])) == 1 else Caller(number)


def region_of(e164: str) -> str:
    """Return the country (two letters) of a number; empty for one of no country. Of +1 and the like, the main one."""
    import phonenumbers

    try:
        code = phonenumbers.parse(e164, None).country_code
    except phonenumbers.NumberParseException:
        return ""
    region = str(phonenumbers.region_code_for_country_code(code or 0))
    return region if region not in ("ZZ", "001") else ""


def spellings(e164: str) -> tuple[str, ...]:
    """Return the number first, then the other forms under which the same mobile telephone is known.

    Argentina writes a 9 behind the country's code of mobile numbers, Mexico wrote a 1 until 2019, Brazil put a 9 before the
    eight digits of mobile numbers; networks and address books use both forms.
    """
    for pattern, forms in _MOBILES:
        found = pattern.fullmatch(e164)
        if found:
            return (e164, *(form for form in (found.expand(form) for form in forms) if form != e164))
    return (e164,)


_MOBILES = (
    (re.compile(r"\+549?(\d{10})"), (r"+549\1", r"+54\1")),
    (re.compile(r"\+521?(\d{10})"), (r"+52\1", r"+521\1")),
    (re.compile(r"\+55(\d\d)9?([6-9]\d{7})"), (r"+55\g<1>9\2", r"+55\1\2")),
)


def looks_like_number(text: str) -> bool:
    digits = sum(character.isdigit() for character in text)
    return digits >= 5 and not any(character.isalpha() for character in text)


def _is_withheld(text: str) -> bool:
    word = text.strip().lstrip("+").casefold()
    return word in WITHHELD_WORDS or word in _SPELLED


def _tidy(text: str) -> str:
    """Return ASCII digits and a leading plus, out of any script's digits and whatever separates them."""
    text = unicodedata.normalize("NFKC", text).strip().removeprefix("tel:")
    text = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text)
    return _TRUNK_ZERO.sub(r"\1", text)


@lru_cache(maxsize=4096)
def _read(text: str, region: str) -> str:
    bare = re.sub(r"[\s().\-/\u2010-\u2015\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]+", "", text)
    if bare.startswith("00"):
        bare = "+" + bare[2:]
    if re.search(r"[^\d+]", bare) or "+" in bare[1:] or not bare.isascii():
        raise PhoneError(f"“{text}” is not a telephone number.")
    import phonenumbers  # its tables take a twentieth of a second to load

    if bare.startswith("+"):
        return _international(bare, text)
    if region:
        try:
            number = phonenumbers.parse(bare, region)
        except phonenumbers.NumberParseException:
            number = None
        if number is not None and (phonenumbers.is_possible_number(number) and not _only_with_plus(bare, number)):
            return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
    if _is_valid("+" + bare):
        return _international("+" + bare, text)
    if not region:
        raise PhoneError(f"“{text}” names no country: write it with + and the country's code.")
    raise PhoneError(f"“{text}” is too short or too long for a telephone number.")


def _only_with_plus(bare: str, number: PhoneNumber) -> bool:
    """Tell whether a national reading is only possible, while the digits with `+` are a valid number."""
    import phonenumbers

    return not phonenumbers.is_valid_number(number) and _is_valid("+" + bare)


def _is_valid(text: str) -> bool:
    import phonenumbers

    try:
        return bool(phonenumbers.is_valid_number(phonenumbers.parse(text, None)))
    except phonenumbers.NumberParseException:
        return False


def _international(bare: str, text: str) -> str:
    """Return an international number. Fictional and newly assigned ranges are in no table: a possible length will do."""
    import phonenumbers

    if not _E164.fullmatch(bare):
        raise PhoneError(f"“{text}” is too short or too long for a telephone number.")
    try:
        number = phonenumbers.parse(bare, None)
    except phonenumbers.NumberParseException:
        raise PhoneError(f"“{text}” begins with no country's code.") from None
    if phonenumbers.is_valid_number(number):
        return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
    too_long = phonenumbers.is_possible_number_with_reason(number) == phonenumbers.ValidationResult.TOO_LONG
    if too_long and len(spellings(bare)) == 1:  # two numbers that run together, or one with an extension unmarked
        raise PhoneError(f"“{text}” is too long for a telephone number.")
    return bare
