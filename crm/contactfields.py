"""The built-in fields of a contact: what each is called, how a text becomes a value, and how a value becomes a text.

One list for forms, imports, exports, the API and the rules of the score, so that they agree. No I/O.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from crm.enums import Status
from crm.fieldtypes import FALSE_WORDS, TRUE_WORDS, FieldError, Reading, parse_moment, parse_url, read_decimal
from crm.phones import PhoneError, to_e164

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
        text = " ".join(raw.split())
        if len(text) > limit:
            raise FieldError(f"at most {limit} characters")
        return text

    return parse


def _notes(raw: str, reading: Reading) -> str:
    text = raw.strip()
    if len(text) > 100_000:
        raise FieldError("at most 100,000 characters")
    return text


def _email(raw: str, reading: Reading) -> str:
    text = raw.strip().removeprefix("mailto:")
    try:
        validate_email(text)
    except ValidationError:
        raise FieldError(f"“{text[:60]}” is not an e-mail address") from None
    return text


def _phones(raw: str, reading: Reading) -> list[dict[str, str]]:
    """Several numbers stand apart by `;` or a new line, each with its label before a colon: `mobile: +1 555 0100`."""
    found = []
    for part in raw.replace("\n", ";").split(";"):
        label, colon, number = part.rpartition(":")
        if not part.strip():
            continue
        try:
            found.append({"label": label.strip()[:30] if colon else "", "number": to_e164(number.strip(), reading.region)})
        except PhoneError as error:
            raise FieldError(str(error)) from None
    return found


def _status(raw: str, reading: Reading) -> str:
    word = raw.strip().casefold().replace(" ", "_").replace("-", "_").replace(",", "")
    if word in Status.values:
        return word
    raise FieldError(f"“{raw[:40]}” is none of: {', '.join(Status.values)}")


def _value(raw: str, reading: Reading) -> Decimal:
    value = read_decimal(raw.strip().lstrip("$€£¥").rstrip("$€£¥").strip()).quantize(Decimal("0.01"))
    if abs(value) >= Decimal(10) ** 12:
        raise FieldError("the number is too large")
    return value


def split_tags(raw: str) -> list[str]:
    raw = raw.replace("\0", "").encode(errors="replace").decode()
    parts = raw.replace("|", ",").replace(";", ",").replace("\n", ",").split(",")
    return list(dict.fromkeys(filter(None, (" ".join(part.split()) for part in parts))))


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
    return parse_url(raw.strip())


def _attribute(name: str) -> Text:
    def text(contact: Contact) -> str:
        value = getattr(contact, name)
        return "" if value is None else str(value)

    return text


def _phones_text(contact: Contact) -> str:
    return "; ".join(
        f"{phone['label']}: {phone['number']}" if phone["label"] else phone["number"] for phone in contact.phones
    )


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
            _phones_text,
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
        ContactField("tags", "Tags", _tags, lambda contact: ", ".join(contact.tags), ("labels", "groups", "tag")),
        _own("notes", "Notes", _notes, "note", "comment", "comments", "description", "remarks"),
        _own("stripe_customer_id", "Stripe customer", _line(64), "stripe id"),
        ContactField("do_not_call", "Do not call", _flag, _moment_text("do_not_call_at"), ("dnc", "no calls")),
        ContactField(
            "do_not_mail", "Do not mail", _flag, _moment_text("do_not_mail_at"), ("unsubscribed", "opt out", "no mail")
        ),
    )
}
