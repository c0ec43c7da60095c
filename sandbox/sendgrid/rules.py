"""What the mail/send endpoint accepts. Pure: a decoded body and the time go in, the vendor's complaints come out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

LARGEST_BODY = 30 * 1000 * 1000
MOST_RECIPIENTS = 1000
MOST_ARGUMENT_BYTES = 10_000
MOST_CATEGORIES = 10
LONGEST_CATEGORY = 255
LATEST_S = 72 * 3600
FORBIDDEN_HEADERS = frozenset(
    {"x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type", "content-transfer-encoding"}
    | {"to", "from", "subject", "reply-to", "cc", "bcc"}
)
HELP = "http://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html#message."

# What each field must be; a field that is not here is refused.
PERSONALIZATION = {
    "to": list,
    "cc": list,
    "bcc": list,
    "from": dict,
    "subject": str,
    "headers": dict,
    "substitutions": dict,
    "dynamic_template_data": dict,
    "custom_args": dict,
    "send_at": int,
}
BODY = {
    "personalizations": list,
    "from": dict,
    "reply_to": dict,
    "reply_to_list": list,
    "subject": str,
    "content": list,
    "attachments": list,
    "template_id": str,
    "headers": dict,
    "categories": list,
    "custom_args": dict,
    "send_at": int,
    "batch_id": str,
    "asm": dict,
    "ip_pool_name": str,
    "mail_settings": dict,
    "tracking_settings": dict,
}
_NAMES = {list: "array", dict: "object", str: "string", int: "integer"}
_ADDRESS = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@(?:localhost|[a-z0-9-]+(?:\.[a-z0-9-]+)+)", re.I)


@dataclass(frozen=True, slots=True)
class Complaint:
    message: str
    field: str | None = None

    def as_json(self) -> dict[str, str | None]:
        anchor = re.sub(r"\.\d+", "", self.field or "")
        return {"message": self.message, "field": self.field, "help": HELP + anchor if self.field else None}


def complaints_about(body: Any, *, now: float) -> list[Complaint]:
    """Return everything that is wrong with a request, or nothing when it would be accepted.

    body: as decoded from JSON. now: unix seconds, for `send_at`. Who may send from where is not judged here.
    """
    if not isinstance(body, dict):
        return [Complaint("Bad Request")]
    if found := list(_shapes(body, BODY, "")):
        return found
    return [*_sender(body), *_about_recipients(body, now), *_content(body), *_labels(body), *_timing(body, "", now)]


def is_address(text: object) -> bool:
    return isinstance(text, str) and len(text) <= 320 and _ADDRESS.fullmatch(text) is not None


def recipients(personalization: Mapping[str, Any]) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Yield ("to", index, {"email", "name"?}) of everybody who gets a copy."""
    for kind in ("to", "cc", "bcc"):
        for index, person in enumerate(personalization.get(kind) or ()):
            yield kind, index, person


# --- shapes ----------------------------------------------------------------------------------------------------------


def _shapes(values: Mapping[str, Any], wanted: Mapping[str, type], prefix: str) -> Iterator[Complaint]:
    for name, value in values.items():
        kind = wanted.get(name)
        if kind is None:
            yield Complaint(f"Additional property {name} is not allowed", prefix + name)
        elif not isinstance(value, kind) or isinstance(value, bool):
            yield Complaint(f"Invalid type. Expected: {_NAMES[kind]}, given: {_given(value)}.", prefix + name)


def _given(value: object) -> str:
    names = {type(None): "null", bool: "boolean", float: "number"}
    return {**_NAMES, **names}.get(type(value), "unknown")


def _strings(values: Mapping[str, Any], field: str) -> Iterator[Complaint]:
    for name, value in values.items():
        if not isinstance(value, str):
            yield Complaint(f"Invalid type. Expected: string, given: {_given(value)}.", f"{field}.{name}")


def _size(values: Mapping[str, Any]) -> int:
    return sum(len(str(name).encode()) + len(str(value).encode()) for name, value in values.items())


# --- who -------------------------------------------------------------------------------------------------------------


def _sender(body: Mapping[str, Any]) -> Iterator[Complaint]:
    if "from" not in body:
        yield Complaint(
            "The from object must be provided for every email send. It is an object that requires the email parameter,"
            " but may also contain a name parameter.",
            "from.email",
        )
    else:
        yield from _person(body["from"], "from")
    if "reply_to" in body and "reply_to_list" in body:
        yield Complaint("You may not use both reply_to and reply_to_list.", "reply_to")
    if "reply_to" in body:
        yield from _person(body["reply_to"], "reply_to")
    for index, person in enumerate(body.get("reply_to_list", ())):
        yield from _person(person, f"reply_to_list.{index}")
    if len(body.get("reply_to_list", ())) > MOST_RECIPIENTS:
        yield Complaint("The reply_to_list is limited to 1000 addresses.", "reply_to_list")


def _person(person: Any, field: str) -> Iterator[Complaint]:
    if not isinstance(person, dict):
        yield Complaint(f"Invalid type. Expected: object, given: {_given(person)}.", field)
    elif not is_address(person.get("email")):
        yield Complaint("Does not contain a valid address.", f"{field}.email")
    elif not isinstance(person.get("name", ""), str):
        yield Complaint(f"Invalid type. Expected: string, given: {_given(person['name'])}.", f"{field}.name")


def _about_recipients(body: Mapping[str, Any], now: float) -> Iterator[Complaint]:
    many = body.get("personalizations") or []
    if not many:
        yield Complaint(
            "The personalizations field is required and must have at least one personalization.", "personalizations"
        )
    if len(many) > MOST_RECIPIENTS:
        yield Complaint(
            "The personalization block is limited to 1000 personalizations per API request. You have provided"
            f" {len(many)} personalizations. Please consider splitting this into multiple requests and resending your"
            " request.",
            "personalizations",
        )
        return
    total = 0
    for index, one in enumerate(many):
        field = f"personalizations.{index}"
        if not isinstance(one, dict):
            yield Complaint(f"Invalid type. Expected: object, given: {_given(one)}.", field)
        elif wrong := list(_shapes(one, PERSONALIZATION, f"{field}.")):
            yield from wrong
        else:
            total += sum(len(one.get(kind, ())) for kind in ("to", "cc", "bcc"))
            yield from _personalization(one, field, body, now)
    if total > MOST_RECIPIENTS:
        yield Complaint("There is a limit of 1000 total recipients (to + cc + bcc) per request.", "personalizations")


def _personalization(one: dict[str, Any], field: str, body: Mapping[str, Any], now: float) -> Iterator[Complaint]:
    if not one.get("to"):
        yield Complaint(
            "The to array is required for all personalization objects, and must have at least one email object with a"
            " valid email address.",
            f"{field}.to",
        )
    seen: set[str] = set()
    for kind, index, person in recipients(one):
        yield from (wrong := list(_person(person, f"{field}.{kind}.{index}")))
        if wrong:
            continue
        address = person["email"].lower()
        if address in seen:
            yield Complaint(
                "Each email address in the personalization block should be unique between to, cc, and bcc. We found the"
                f" first duplicate instance of [{address}] in the {field}.{kind} field.",
                field,
            )
            return
        seen.add(address)
    if "from" in one:
        yield from _person(one["from"], f"{field}.from")
    yield from _headers(one.get("headers", {}), f"{field}.headers")
    yield from _substitutions(one, field, body)
    yield from _arguments(one, field, body)
    yield from _timing(one, f"{field}.", now)


def _substitutions(one: Mapping[str, Any], field: str, body: Mapping[str, Any]) -> Iterator[Complaint]:
    given = one.get("substitutions", {})
    yield from _strings(given, f"{field}.substitutions")
    if given and (one.get("dynamic_template_data") or str(body.get("template_id", "")).startswith("d-")):
        yield Complaint("Substitutions may not be used with dynamic templating", f"{field}.substitutions")
    if _size(given) > MOST_ARGUMENT_BYTES:
        yield Complaint("The substitutions are limited to 10000 bytes per personalization block.", f"{field}.substitutions")


def _arguments(one: Mapping[str, Any], field: str, body: Mapping[str, Any]) -> Iterator[Complaint]:
    own = one.get("custom_args", {})
    yield from _strings(own, f"{field}.custom_args")
    if _size({**body.get("custom_args", {}), **own}) >= MOST_ARGUMENT_BYTES:
        yield Complaint("The custom_args may not exceed 10000 bytes.", f"{field}.custom_args")


def _headers(headers: Mapping[str, Any], field: str) -> Iterator[Complaint]:
    yield from _strings(headers, field)
    for name in headers:
        if name.lower() in FORBIDDEN_HEADERS:
            yield Complaint(f"The header name {name} is reserved and may not be used.", f"{field}.{name}")
        elif not re.fullmatch(r"[\x21-\x39\x3b-\x7e]+", name):
            yield Complaint("Header names may contain printable ASCII characters only.", f"{field}.{name}")


# --- what ------------------------------------------------------------------------------------------------------------


def _content(body: Mapping[str, Any]) -> Iterator[Complaint]:
    yield from _headers(body.get("headers", {}), "headers")
    yield from _strings(body.get("custom_args", {}), "custom_args")
    if body.get("template_id"):
        return
    if not body.get("subject") and not all(
        isinstance(one, dict) and one.get("subject") for one in body.get("personalizations") or [{}]
    ):
        yield Complaint(
            "The subject is required. You can get around this requirement if you use a template with a subject defined"
            " or if every personalization has a subject defined.",
            "subject",
        )
    if not body.get("content"):
        yield Complaint(
            "Unless a valid template_id is provided, the content parameter is required. There must be at least one"
            " defined content block.",
            "content",
        )
        return
    kinds = []
    for index, part in enumerate(body["content"]):
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            yield Complaint("The content type is required.", f"content.{index}.type")
        elif not isinstance(part.get("value"), str) or not part["value"]:
            yield Complaint(
                "The content value must be a string at least one character in length.", f"content.{index}.value"
            )
        else:
            kinds.append(part["type"])
    if kinds != sorted(kinds, key=_place):
        yield Complaint(
            "If present, text/plain and text/html may only be provided once, and must come first: text/plain, then"
            " text/html.",
            "content",
        )
    elif len(set(kinds)) != len(kinds):
        yield Complaint("Each content type may be provided only once.", "content")


def _place(kind: str) -> int:
    return {"text/plain": 0, "text/html": 1}.get(kind, 2)


def _labels(body: Mapping[str, Any]) -> Iterator[Complaint]:
    categories = body.get("categories", [])
    if len(categories) > MOST_CATEGORIES:
        yield Complaint("You may have at most 10 categories.", "categories")
    for index, category in enumerate(categories):
        if not isinstance(category, str) or not 0 < len(category) <= LONGEST_CATEGORY:
            yield Complaint("Each category may have at most 255 characters.", f"categories.{index}")
    if len(set(map(str, categories))) != len(categories):
        yield Complaint("The categories must be unique.", "categories")
    if "ip_pool_name" in body and not 2 <= len(body["ip_pool_name"]) <= 64:
        yield Complaint("The ip_pool_name must have 2 to 64 characters.", "ip_pool_name")
    if len(body.get("asm", {}).get("groups_to_display") or ()) > 25:
        yield Complaint("You may display at most 25 groups.", "asm.groups_to_display")


def _timing(values: Mapping[str, Any], prefix: str, now: float) -> Iterator[Complaint]:
    if values.get("send_at", 0) > now + LATEST_S:
        yield Complaint("The send_at may not be more than 72 hours in the future.", f"{prefix}send_at")
