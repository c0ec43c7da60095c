"""The built-in fields of a contact: what each is called, how a text becomes a value, and how a value becomes a text.

One list for forms, imports, exports, the API and the rules of the score, so that they agree. No I/O.

`field.parse(field.text(contact), reading)` is what the contact has. Several numbers are written
`mobile: +15035550110 x12; +15035550111`, tags `a, b`; separators inside a label or a tag stand behind a backslash
(`crm.fieldtypes.join_list`). `read_phones`, `write_phones`, `split_tags` and `join_tags` are for whoever has no contact.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from base.text import to_stored
from base.words import fold
from crm.enums import Status
from crm.fieldtypes import (
    FALSE_WORDS,
    TRUE_WORDS,
    FieldError,
    Reading,
    join_list,
    parse_moment,
    parse_url,
    read_money,
    split_list,
)
from crm.phones import MAX_NUMBERS, PhoneError, looks_like_number, read_number, split_numbers, write_number

if TYPE_CHECKING:
    from crm.models import Contact

Parse = Callable[[str, Reading], Any]
Text = Callable[["Contact"], str]


@dataclass(frozen=True, slots=True)
class ContactField:
    key: str
    label: str
    parse: Parse  # raises FieldError
    text: Text
    synonyms: tuple[str, ...] = ()  # other words for it in the headers of files


def _line(limit: int) -> Parse:
    def parse(raw: str, reading: Reading) -> str:
        text = " ".join(to_stored(raw).split())
        if len(text) > limit:
            raise FieldError(f"at most {limit} characters")
        return text

    return parse


def _notes(raw: str, reading: Reading) -> str:
    text = to_stored(raw).strip()
    if len(text) > 100_000:
        raise FieldError("at most 100,000 characters")
    return text


def _email(raw: str, reading: Reading) -> str:
    text = to_stored(raw).strip().removeprefix("mailto:")
    try:
        validate_email(text)
    except ValidationError:
        raise FieldError(f"“{text[:60]}” is not an e-mail address") from None
    return text


def read_phones(raw: str, region: str = "") -> list[dict[str, str]]:
    """Return the numbers of a text as a contact keeps them: label, number and, where there is one, extension.

    They stand apart as `crm.phones.split_numbers` knows, each with its label before a colon: `mobile: +1 555 0100`.
    Raises FieldError, which names the piece that is no number.
    """
    found: list[dict[str, str]] = []
    for piece in _pieces(raw, region):
        label, text = _label_and_number(piece)
        try:
            number = read_number(text, region)
        except PhoneError as error:
            raise FieldError(str(error)) from None
        found.append(phone_entry(number.e164, label=label, extension=number.extension))
    if len(found) > MAX_NUMBERS:
        raise FieldError(f"at most {MAX_NUMBERS} telephone numbers")
    return found


def _pieces(raw: str, region: str) -> list[str]:
    raw = to_stored(raw)
    if "\\" in raw:  # as we write it: labels hold separators, which are marked
        return [piece.strip() for piece in _MARKED.findall(raw) if piece.strip()]
    return split_numbers(raw, region)


_MARKED = re.compile(r"(?:\\.|[^;\n\\])+", re.DOTALL)
_LABELED = re.compile(r"(?P<label>(?:\\.|[^\\])*):(?P<number>[^:]*)", re.DOTALL)
_SCHEMES = ("tel", "sip", "sips", "callto")


def _label_and_number(piece: str) -> tuple[str, str]:
    """Return a number and the label before it. `tel:` is no label, and neither is another number."""
    found = _LABELED.fullmatch(piece)
    if found is None:
        return "", piece
    if found["label"].strip().casefold() in _SCHEMES:
        return "", found["number"]
    if looks_like_number(found["label"]) and "\\" not in found["label"]:
        raise FieldError(f"“{piece[:60]}” holds two numbers: write them apart with ;")
    label = re.sub(r"\\(.)", r"\1", found["label"], flags=re.DOTALL)
    return clean_label(label), found["number"].strip()


def clean_label(text: str) -> str:
    """Return the label of a number as a contact keeps it: one line of at most thirty characters."""
    return " ".join(to_stored(text).split())[:30].strip()


def phone_entry(number: str, *, label: str = "", extension: str = "") -> dict[str, str]:
    """Return a number (E.164) as a contact keeps it."""
    return {"label": label, "number": number} | ({"extension": extension} if extension else {})


def write_phones(phones: Iterable[Mapping[str, str]]) -> str:
    """Return numbers in one text, as `read_phones` reads them."""
    return "; ".join(
        (f"{_written_label(phone['label'])}: " if phone["label"] else "")
        + write_number(phone["number"], phone.get("extension", ""))
        for phone in phones
    )


def _written_label(label: str) -> str:
    text = re.sub(r"[\\:;,/|&]", r"\\\g<0>", label)
    # What would be taken for a number, for its scheme, or for the extension of the number before.
    is_odd = looks_like_number(label) or label.casefold() in _SCHEMES or label.casefold().startswith(("x", "ext", "#"))
    return "\\" + text if is_odd and not text.startswith("\\") else text


def _phones(raw: str, reading: Reading) -> list[dict[str, str]]:
    return read_phones(raw, reading.region)


def _status(raw: str, reading: Reading) -> str:
    word = _status_word(raw)
    known = {_status_word(key): key for key in Status.values} | {
        _status_word(label): key for label, key in reading.statuses
    }
    if word in known:
        return known[word]
    labels = ", ".join(label for label, _ in reading.statuses) or ", ".join(Status.values)
    raise FieldError(f"“{raw.strip()[:40]}” is none of: {labels}")


def _status_word(text: str) -> str:
    return " ".join(fold(to_stored(text)).replace("_", " ").replace("-", " ").replace(",", " ").split())


def _value(raw: str, reading: Reading) -> Decimal:
    value = read_money(raw, reading)
    if abs(value) >= Decimal(10) ** 12:
        raise FieldError("the number is too large")
    return value


def split_tags(raw: str) -> list[str]:
    """Return the tags of a text, each once: they stand apart by commas, semicolons, bars or lines."""
    return clean_tags(split_list(to_stored(raw), ",;|\n"))


def join_tags(tags: Iterable[str]) -> str:
    """Return tags in one text, as `split_tags` reads them."""
    return join_list(tags, ", ")


def clean_tags(tags: Iterable[str]) -> list[str]:
    """Return tags as a contact keeps them: composed, without blanks around them or double ones within, each once."""
    return list(dict.fromkeys(filter(None, (" ".join(to_stored(tag).split()) for tag in tags))))


def _tags(raw: str, reading: Reading) -> list[str]:
    tags = split_tags(raw)
    if any(len(tag) > 60 for tag in tags):
        raise FieldError("a tag has at most 60 characters")
    return tags


def _flag(raw: str, reading: Reading) -> bool:
    word = raw.strip().casefold()
    if word in TRUE_WORDS or word in FALSE_WORDS:
        return word in TRUE_WORDS
    parse_moment(raw, reading)  # an export writes the day it was said
    return True


def _url(raw: str, reading: Reading) -> str:
    return parse_url(to_stored(raw).strip())


def _attribute(name: str) -> Text:
    def text(contact: Contact) -> str:
        value = getattr(contact, name)
        return "" if value is None else str(value)

    return text


def _moment_text(name: str) -> Text:
    def text(contact: Contact) -> str:
        at = getattr(contact, name)
        return at.strftime("%Y-%m-%d %H:%M:%S+00:00") if at else ""

    return text


def _own(key: str, label: str, parse: Parse, *synonyms: str) -> ContactField:
    return ContactField(key, label, parse, _attribute(key), synonyms)


FIELDS: dict[str, ContactField] = {
    field.key: field
    for field in (
        _own("contact_name", "Name", _line(200), "full name", "contact", "person", "contact person", "name"),
        _own("business_name", "Business", _line(200), "company", "organisation", "organization", "firm", "account"),
        _own("contact_email", "E-mail", _email, "email", "mail", "e mail", "email address", "e mail address"),
        _own("contact_role", "Role", _line(120), "position", "job title", "title", "function"),
        ContactField(
            "phones",
            "Phone",
            _phones,
            lambda contact: write_phones(contact.phones),
            ("phone", "telephone", "mobile", "cell", "number", "phone number", "tel"),
        ),
        _own("website", "Website", _url, "url", "web", "homepage", "site", "web address"),
        _own("address", "Address", _line(300), "street", "street address", "address line 1"),
        _own("city", "City", _line(120), "town", "place"),
        _own("state", "State", _line(120), "region", "province", "county"),
        _own("postal_code", "Postal code", _line(20), "zip", "zip code", "postcode", "post code", "plz"),
        _own("country", "Country", _line(80), "nation"),
        _own("status", "Status", _status, "stage", "lead status"),
        _own("value", "Value", _value, "amount", "deal value", "worth"),
        _own("source", "Source", _line(80), "lead source", "origin"),
        ContactField("tags", "Tags", _tags, lambda contact: join_tags(contact.tags), ("labels", "groups", "tag")),
        _own("notes", "Notes", _notes, "note", "comment", "comments", "description", "remarks"),
        _own("stripe_customer_id", "Stripe customer", _line(64), "stripe id"),
        ContactField("do_not_call", "Do not call", _flag, _moment_text("do_not_call_at"), ("dnc", "no calls")),
        ContactField(
            "do_not_mail", "Do not mail", _flag, _moment_text("do_not_mail_at"), ("unsubscribed", "opt out", "no mail")
        ),
    )
}
