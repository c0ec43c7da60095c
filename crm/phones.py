"""Telephone numbers as people write them, and as they are stored: E.164."""

from __future__ import annotations

import re
from functools import lru_cache

_E164 = re.compile(r"\+[1-9]\d{6,14}")
_NOISE = re.compile(r"[\s().\-/\u00a0\u2010-\u2015]+")


class PhoneError(ValueError):
    """The text is no telephone number; the message is for people."""


def to_e164(text: str, region: str = "") -> str:
    """Return the number in E.164 form. `region` is the country of numbers written without one. Raises PhoneError."""
    bare = _NOISE.sub("", text)
    if bare.startswith("00"):
        bare = "+" + bare[2:]
    return _parse(bare, region)


@lru_cache(maxsize=4096)
def _parse(bare: str, region: str) -> str:
    if _E164.fullmatch(bare):
        # Fictional and newly assigned ranges are unknown to the tables: a plausible length is all that is asked.
        return bare
    import phonenumbers  # its tables take a twentieth of a second to load, and most numbers need none of them

    if not bare.startswith("+") and not region:
        raise PhoneError(f"“{bare}” names no country: write it with + and the country's code.")
    try:
        number = phonenumbers.parse(bare, region or None)
    except phonenumbers.NumberParseException:
        raise PhoneError(f"“{bare}” is not a telephone number.") from None
    if not phonenumbers.is_possible_number(number):
        raise PhoneError(f"“{bare}” is too short or too long for a telephone number.")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def looks_like_number(text: str) -> bool:
    digits = sum(character.isdigit() for character in text)
    return digits >= 5 and not any(character.isalpha() for character in text)
