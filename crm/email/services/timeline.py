"""Messages on contacts' timelines: put there when they were handed over, and kept up to date with what becomes of them."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from crm.email.enums import HANDED_OVER, MessageState, SuppressionReason
from crm.email.inbound import strip_tags
from crm.email.models import EmailMessage, EmailTemplateVersion
from crm.email.rendering.renderer import RenderError, mail_text, render_split
from crm.email.services.sources import source_of
from crm.enums import InteractionKind
from crm.hooks.enums import Event
from crm.hooks.services.emitting import emit_many
from crm.models import Contact, Interaction
from crm.services.interactions import add_interaction, touch
from crm.services.payloads import interaction_payload
from crm.services.scoring import rescore_later

logger = logging.getLogger("crm.email")

CHUNK = 500
MAX_PARSED = 2_000_000  # characters of HTML whose layout is read
MAX_STRIPPED = 5_000_000
_LINK = "…"  # who looks at a timeline must not come by a recipient's own link
# What the entry of a message says besides where it came from.
_TOLD = ["state", "delivered_at", "opened_at", "clicked_at", "bounced_at", "spam_at", "unsubscribed_at", "replied_at"]
_TOLD += ["open_count", "click_count"]
_LETTER_NOT_SENT = Q(
    state__in=(MessageState.FAILED, MessageState.SKIPPED), mailing=None, enrolment=None, user__isnull=False
)
_TELL = """
UPDATE crm_interaction AS entry SET metadata = (entry.metadata - %s::text[]) || fact.facts
FROM (
  SELECT id, jsonb_strip_nulls(jsonb_build_object(
    'state', state, 'delivered_at', delivered_at, 'opened_at', opened_at, 'clicked_at', clicked_at,
    'bounced_at', bounced_at, 'spam_at', spam_at, 'unsubscribed_at', unsubscribed_at, 'replied_at', replied_at,
    'open_count', NULLIF(open_count, 0), 'click_count', NULLIF(click_count, 0))) AS facts
  FROM crm_email_emailmessage WHERE id = ANY(%s::uuid[])
) AS fact
WHERE entry.natural_key = 'email:' || fact.id
  AND (entry.metadata - %s::text[]) || fact.facts IS DISTINCT FROM entry.metadata
RETURNING fact.id, entry.contact_id
"""


def log_sent(*, message_ids: Iterable[UUID | str], now: datetime | None = None) -> int:
    """Put messages that were handed over on their contacts' timelines; return how many are new there.

    Of those that were not, as one whose address was suppressed at the last moment, only letters come there: somebody has
    written them, was told that they are on their way, and counts on it. Safe to repeat. A text that cannot be rendered
    any more leaves an entry without words rather than none.
    """
    now = now or timezone.now()
    ids = sorted({UUID(str(message_id)) for message_id in message_ids})
    return sum(_log(ids[begin : begin + CHUNK], now) for begin in range(0, len(ids), CHUNK))


def log_letters(*, message_ids: Sequence[UUID]) -> None:
    """Put letters on timelines that were not sent, or perhaps: those that were come there by their request."""
    if not message_ids:
        return
    stuck = (MessageState.FAILED, MessageState.SKIPPED, MessageState.UNKNOWN)
    rows = EmailMessage.objects.filter(pk__in=message_ids, state__in=stuck)
    log_sent(message_ids=list(rows.values_list("pk", flat=True)))


def natural_key(message_id: UUID) -> str:
    return f"email:{message_id}"


def _log(ids: Sequence[UUID], now: datetime) -> int:
    wanted = (
        EmailMessage.objects.filter(Q(state__in=HANDED_OVER) | _LETTER_NOT_SENT, pk__in=ids)
        .exclude(contact=None)
        .select_related("version")
        .order_by("pk")
    )
    messages = list(
        wanted.only("contact", "mailing", "user", "sent_at", "values", "subject", "html", "text", "version", "state")
    )
    known = _known(messages)
    messages = [message for message in messages if natural_key(message.pk) not in known]
    if not messages:
        return 0
    words = _words(messages)  # before anything is locked
    with transaction.atomic():
        # Held until the entries are there: news that is applied meanwhile would not find them.
        list(EmailMessage.objects.filter(pk__in=[one.pk for one in messages]).order_by("pk").select_for_update(no_key=True))
        known = _known(messages)
        contacts = _living({message.contact_id for message in messages if message.contact_id is not None})
        entries = [
            _entry(message, contacts[message.contact_id], *words[message.pk], now)
            for message in messages
            if natural_key(message.pk) not in known and message.contact_id in contacts
        ]
        _insert(entries, [message.pk for message in messages])
    return len(entries)


def _known(messages: Iterable[EmailMessage]) -> set[str | None]:
    keys = [natural_key(message.pk) for message in messages]
    return set(Interaction.objects.filter(natural_key__in=keys).values_list("natural_key", flat=True))


def _living(ids: Collection[int]) -> dict[int, int]:
    """Hold the contacts, and return by id where each is now: one that was merged, where it went."""
    rows = Contact.objects.select_for_update().filter(pk__in=ids).order_by("pk")
    merged = dict(rows.values_list("pk", "merged_into"))
    found = {}
    for pk, into in merged.items():
        found[pk] = pk if into is None else _followed(into)
    return found


def _followed(pk: int) -> int:
    into = Contact.objects.select_for_update().values_list("merged_into", flat=True).get(pk=pk)
    return pk if into is None else _followed(into)


def _entry(message: EmailMessage, contact_id: int, subject: str, text: str, now: datetime) -> Interaction:
    metadata: dict[str, Any] = {"email": str(message.pk), "direction": "out", "state": message.state}
    if message.mailing_id is not None:
        metadata["mailing"] = message.mailing_id
    return Interaction(
        contact_id=contact_id,
        kind=InteractionKind.EMAIL,
        subject=subject[:200],
        content=text,
        user_id=message.user,
        interaction_date=message.sent_at or now,
        metadata=metadata,
        natural_key=natural_key(message.pk),
        created_at=now,
        updated_at=now,
    )


def _insert(entries: list[Interaction], message_ids: list[UUID]) -> None:
    Interaction.objects.bulk_create(entries)
    bring_up_to_date(message_ids=message_ids)
    contact_ids = sorted({entry.contact_id for entry in entries if entry.contact_id is not None})
    touch(*contact_ids)
    items = ((interaction_payload(entry), f"interaction:{entry.pk}") for entry in entries)
    emit_many(event=Event.INTERACTION_ADDED, items=items)
    if contact_ids:
        rescore_later(contact_ids)


def _words(messages: Sequence[EmailMessage]) -> dict[UUID, tuple[str, str]]:
    """Return each message's subject and text, as the recipient has them but for the links that are theirs alone."""
    words: dict[UUID, tuple[str, str]] = {}
    by_version: dict[EmailTemplateVersion, list[EmailMessage]] = defaultdict(list)
    for message in messages:
        if message.version is None:
            words[message.pk] = (message.subject, message.text or as_text(message.html))
        else:
            by_version[message.version].append(message)
    for version, several in by_version.items():
        for message, pair in zip(several, _rendered(version, several), strict=True):
            words[message.pk] = pair
    return words


def _rendered(version: EmailTemplateVersion, messages: Sequence[EmailMessage]) -> list[tuple[str, str]]:
    from crm.email.rendering.variables import LINKS

    links = dict.fromkeys(LINKS, _LINK)
    values = [{**(message.values or {}), **links} for message in messages]
    try:
        split = render_split(source=source_of(version=version), many=values)
    except RenderError:
        logger.exception("What was sent cannot be shown on timelines.", extra={"version": version.pk})
        return [("", "")] * len(messages)
    joined = (None if isinstance(row, RenderError) else split.join(row) for row in split.rows)
    return [("", "") if one is None else (one.subject, one.text) for one in joined]


def as_text(html: str) -> str:
    """Return an e-mail's HTML as text, made by the process that renders, where hostile markup costs nobody else anything.

    What that process cannot read, or is too long for it, keeps its words: the tags are taken out, nothing more.
    """
    if not html.strip():
        return ""
    text = ""
    if len(html) <= MAX_PARSED:
        try:
            text = mail_text(html)
        except RenderError:
            logger.warning("An e-mail's HTML could not be read; its words are kept without their layout.")
    return text or strip_tags(html[:MAX_STRIPPED])


def bring_up_to_date(*, message_ids: Collection[UUID]) -> dict[UUID, int]:
    """Write what is known of messages to their entries; return the contacts of those that changed, by message.

    Run in the transaction that changed the messages, while it holds them.
    """
    if not message_ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_TELL, [_TOLD, list(message_ids), _TOLD])
        return dict(cursor.fetchall())


def note_wish(*, message: EmailMessage, wish: SuppressionReason | None, at: datetime) -> None:
    """Note on the contact's timeline that the recipient wants no more e-mail, or (None) that they want it again."""
    if message.contact_id is None:
        return
    subject = "Wants e-mail again" if wish is None else f"{wish.label}: wants no more e-mail"
    add_interaction(
        contact=Contact(pk=message.contact_id),
        kind=InteractionKind.NOTE,
        subject=subject,
        at=at,
        metadata={"email": str(message.pk)},
    )
