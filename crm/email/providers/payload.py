"""A batch as SendGrid's `POST /v3/mail/send` wants it. No I/O.

Messages of one template travel as one request: what differs between the recipients stands in the text as a tag, and
each personalisation says by what its tags are replaced (`substitutions`; they apply to the contents, the subject and
the reply-to address). Vendor's reference of mail/send, read 2026-11.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.encoding import punycode

from crm.email.providers.base import Fault, Outgoing, Recipient, Refused, join

MAX_RECIPIENTS = 1_000
MAX_SUBSTITUTION_BYTES = 9_900  # of a personalisation, tags included; the vendor's limit is 10,000
MAX_BYTES = 20_000_000  # of a request; the vendor's limit is 30 MB
TAG_BYTES = 24  # at most: "-1f2e3d4c5b6a7988x123-"
UNWRITABLE = "The address cannot be written."
OTHERS_WISHES = ("bypass_spam_management", "bypass_unsubscribe_management")
_TYPES = (("text", "text/plain"), ("html", "text/html"))


def request_of(batch: Outgoing) -> dict[str, Any]:
    """Return the request's JSON."""
    alone = len(batch.recipients) == 1
    parts, tags = ({}, {}) if alone else _tagged(batch)
    if alone:
        parts = {part: batch.part(part, batch.recipients[0]) for part in batch.statics}
    body: dict[str, Any] = {
        "personalizations": [_personalization(batch, at, tags) for at in range(len(batch.recipients))],
        "from": address(batch.from_email, batch.from_name),
        "subject": parts["subject"],
        "content": [{"type": kind, "value": parts[part]} for part, kind in _TYPES if parts.get(part)],
        "tracking_settings": {
            "click_tracking": {"enable": batch.track_clicks, "enable_text": False},
            "open_tracking": {"enable": batch.track_opens},
            # It would add a List-Unsubscribe header of its own to ours.
            "subscription_tracking": {"enable": False},
        },
    }
    # The account is shared. Whom an organisation may write to is decided by its own list, which was just asked: a wish
    # that somebody told another organisation is not one towards this.
    body["mail_settings"] = {name: {"enable": True} for name in OTHERS_WISHES}
    if batch.categories:
        body["categories"] = list(batch.categories)
    return body | _reply_to(batch, _reply_tag(batch))


def _tagged(batch: Outgoing) -> tuple[dict[str, str], dict[tuple[str, ...], str]]:
    """Return each part with tags in it, and the tags by what they stand for: one piece for each recipient."""
    tags: dict[tuple[str, ...], str] = {}
    parts = {}
    for part, statics in batch.statics.items():
        columns = zip(*(recipient.pieces[part] for recipient in batch.recipients), strict=True)
        marks = tuple(tags.setdefault(column, _tag(batch, len(tags))) for column in columns)
        parts[part] = join(statics, marks)
    return parts, tags


def _tag(batch: Outgoing, number: int | str) -> str:
    # The key is of this request alone and cannot be guessed: nobody's name is one of our tags.
    return f"-{batch.key}x{number}-"


def _reply_tag(batch: Outgoing) -> str:
    """Return what stands before the @ of the reply-to address: a tag, the one recipient's own, or "" for none."""
    if not batch.recipients[0].reply_to:
        return ""
    return _tag(batch, "r") if len(batch.recipients) > 1 else batch.recipients[0].reply_to.partition("@")[0]


def _reply_to(batch: Outgoing, local: str) -> dict[str, Any]:
    """Answers come to us, who know the message by the address, and to the organisation, if it has a mailbox for them."""
    addresses = [address(f"{local}@{batch.recipients[0].reply_to.partition('@')[2]}", batch.from_name)] if local else []
    addresses += [address(batch.reply_to, batch.from_name)] if batch.reply_to else []
    if len(addresses) == 1:
        return {"reply_to": addresses[0]}
    return {"reply_to_list": addresses} if addresses else {}


def _personalization(batch: Outgoing, at: int, tags: Mapping[tuple[str, ...], str]) -> dict[str, Any]:
    recipient = batch.recipients[at]
    found: dict[str, Any] = {
        "to": [address(recipient.email, recipient.name)],
        "custom_args": dict(recipient.custom_args),
        "headers": dict(recipient.headers),
        "substitutions": {tag: column[at] for column, tag in tags.items()},
    }
    if len(batch.recipients) > 1 and recipient.reply_to:
        found["substitutions"][_tag(batch, "r")] = recipient.reply_to.partition("@")[0]
    return {name: value for name, value in found.items() if value}


def unwritable(batch: Outgoing) -> Refused:
    """Say whose fault it is that a request could not even be made: some of the recipients', or nobody's in particular."""
    places = [at for at, recipient in enumerate(batch.recipients) if not _is_writable(recipient)]
    faults = tuple(Fault(UNWRITABLE, at) for at in places)
    return Refused(400, faults or (Fault("The request cannot be written."),))


def _is_writable(recipient: Recipient) -> bool:
    pieces = [piece for pieces in recipient.pieces.values() for piece in pieces]
    try:
        ascii_address(recipient.email).encode("ascii")
        "".join([recipient.name, recipient.reply_to, *pieces]).encode()
    except UnicodeError:
        return False
    return True


def varying_bytes(recipient: Recipient) -> int:
    """Return at most how long the recipient's substitutions are, with their tags."""
    pieces = [piece for pieces in recipient.pieces.values() for piece in pieces]
    pieces += [recipient.reply_to] if recipient.reply_to else []
    return sum(len(piece.encode()) + TAG_BYTES for piece in pieces)


def address(email: str, name: str = "") -> dict[str, str]:
    """Return an address; names with a comma or a semicolon would be taken for two, and are written without."""
    clean = " ".join("".join(" " if character in ',;<>"\r\n\0' else character for character in name).split())
    return {"email": ascii_address(email)} | ({"name": clean} if clean else {})


def ascii_address(email: str) -> str:
    """Return the address with its domain as DNS has it (müller.example → xn--mller-kva.example).

    Raises UnicodeError for a domain DNS cannot have.
    """
    local, at, domain = email.rpartition("@")
    return f"{local}{at}{punycode(domain)}" if not domain.isascii() else email
