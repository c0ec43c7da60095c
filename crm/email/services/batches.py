"""What a claim becomes: as few requests as the provider's limits allow, each with the words of its recipients."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from crm.email.models import EmailMessage, Mailing
from crm.email.providers.base import Outgoing, Pieces, Provider, Recipient, fold
from crm.email.providers.payload import varying_bytes
from crm.email.rendering.renderer import RenderError, Row, render_split
from crm.email.services.claiming import Claim
from crm.email.services.links import preferences_url, reply_address, unsubscribe_url
from crm.email.services.sources import source_of
from tenants.context import current_tenant

ROW_BYTES = 1_500  # what a recipient's address, headers and arguments take in a request, at most


@dataclass(frozen=True, slots=True)
class Words:
    """The texts of a claim: what is the same for all, and for each message its pieces, or why it has none."""

    statics: Pieces
    rows: list[Row | RenderError]


def words_of(claim: Claim) -> Words:
    """Render a claim's messages. Raises RenderError for what concerns all of them."""
    first = claim.messages[0]
    if first.version is None:
        parts = {"subject": first.subject, "html": first.html, "text": first.text}
        nothing: dict[str, tuple[str, ...]] = dict.fromkeys(parts, ())
        return Words({part: (text,) for part, text in parts.items()}, [Row(nothing)])
    source = source_of(version=first.version, footer_html=(claim.mailing or first).footer_html)
    split = render_split(source=source, many=[_values(message) for message in claim.messages])
    return Words(split.statics, split.rows)


def _values(message: EmailMessage) -> dict[str, Any]:
    links = {"unsubscribe_url": unsubscribe_url(message.pk), "preferences_url": preferences_url(message.pk)}
    return {**(message.values or {}), **links}


def requests_for(claim: Claim, words: Words, provider: Provider) -> Iterator[tuple[list[EmailMessage], Outgoing]]:
    """Yield what to ask the provider for, one request after the other. Messages that have no words are left out."""
    pairs = [(message, row) for message, row in zip(claim.messages, words.rows, strict=True) if isinstance(row, Row)]
    if not pairs:
        return
    statics, rows = fold(words.statics, [row.pieces for _, row in pairs])
    made = [(message, _recipient(message, pieces)) for (message, _), pieces in zip(pairs, rows, strict=True)]
    together = [pair for pair in made if varying_bytes(pair[1]) <= provider.max_varying_bytes]
    alone = [pair for pair in made if varying_bytes(pair[1]) > provider.max_varying_bytes]
    for group in [*_chunks(together, statics, provider), *([pair] for pair in alone)]:
        messages = [message for message, _ in group]
        yield messages, outgoing(messages[0], claim.mailing, statics, [recipient for _, recipient in group])


def _chunks(
    pairs: Sequence[tuple[EmailMessage, Recipient]], statics: Pieces, provider: Provider
) -> Iterator[list[tuple[EmailMessage, Recipient]]]:
    """Split into groups that are within the limits of one request."""
    fixed = sum(len(text.encode()) for texts in statics.values() for text in texts)
    group: list[tuple[EmailMessage, Recipient]] = []
    size = fixed
    for pair in pairs:
        more = varying_bytes(pair[1]) + ROW_BYTES
        if group and (len(group) >= provider.max_recipients or size + more > provider.max_bytes):
            yield group
            group, size = [], fixed
        group.append(pair)
        size += more
    if group:
        yield group


def _recipient(message: EmailMessage, pieces: Pieces) -> Recipient:
    return Recipient(
        email=message.to_email,
        name=message.to_name,
        pieces={**pieces, "subject": tuple(" ".join(piece.splitlines()) for piece in pieces["subject"])},
        custom_args={"thanos_tenant": current_tenant().schema_name, "thanos_message": str(message.pk)},
        headers=(unsubscribe_headers(message) if message.is_bulk else {}) | answer_headers(message),
        reply_to=reply_address(message.pk),
    )


def answer_headers(message: EmailMessage) -> dict[str, str]:
    """What has a mail program show an answer below what it answers."""
    return {"In-Reply-To": message.in_reply_to, "References": message.in_reply_to} if message.in_reply_to else {}


def unsubscribe_headers(message: EmailMessage) -> dict[str, str]:
    """RFC 8058: one click in the mail program, without a visit to a page."""
    return {
        "List-Unsubscribe": f"<{unsubscribe_url(message.pk)}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }


def outgoing(message: EmailMessage, mailing: Mailing | None, statics: Pieces, recipients: Sequence[Recipient]) -> Outgoing:
    fixed = mailing or message
    subject = tuple(text.replace("\r", " ").replace("\n", " ") for text in statics["subject"])
    return Outgoing(
        key=secrets.token_hex(6),
        from_email=message.from_email,
        from_name=message.from_name,
        reply_to=message.reply_to,
        statics={**statics, "subject": subject},
        recipients=tuple(recipients),
        categories=(f"mailing-{message.mailing_id}",) if message.mailing_id else (),
        track_opens=fixed.track_opens,
        track_clicks=fixed.track_clicks,
    )
