"""Who is calling whom, as the carrier says it: the one way from `From` and `To` to what is stored and looked up."""

from __future__ import annotations

from collections.abc import Mapping

from base.text import to_valid
from crm.phones import Caller, PhoneError, is_e164, read_caller, region_of, to_e164

WITHHELD = "anonymous"
CLIENT = "client:"
RAW_LENGTH = 255
# The carrier's word for a number that the calling network attests itself (STIR/SHAKEN, level A).
ATTESTED = "TN-Validation-Passed-A"


def called_number(to: str) -> str:
    """Return the number that was called in E.164 form; what cannot be read as a number stays as it is."""
    to = to_valid(to[:RAW_LENGTH]).strip()
    if is_e164(to):
        return to
    try:
        return to_e164(to)
    except PhoneError:
        return read_caller(to).number or to


def caller_in(form: Mapping[str, str]) -> Caller:
    """Return who is calling. A number without a country is one of the country of the number that was called."""
    raw = raw_caller(form).strip()
    if raw.startswith(CLIENT) and raw != CLIENT:  # the carrier's own name for a caller from an app or a browser
        return Caller(address=raw)
    return read_caller(raw, region_of(called_number(form.get("To", ""))))


def raw_caller(form: Mapping[str, str]) -> str:
    return to_valid(form.get("From", "")[:RAW_LENGTH])


def name_of(caller: Caller) -> str:
    """Return what is stored as a call's `from_number`: a number, an address, or WITHHELD."""
    return caller.number or caller.address or WITHHELD
