"""Bringing messages up to date with the news that is stored of them. Everything here runs inside the tenant.

News is claimed in pieces (rows locked, locked ones skipped) and marked in the transaction that carries it out, so each
piece is acted on once, whoever is killed when. What a message's columns say is computed from all news of it, not from
what is new, while its row is locked: so it does not matter in which order, or by whom, the pieces are taken.

Locks are taken in this order, as sending does: batches; news; messages; contacts; timelines. By id within each.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any
from uuid import UUID

from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from crm.email.enums import BatchState
from crm.email.fates import COLUMNS, TELLING, Facts, News, fold, scanned_clicks
from crm.email.models import EmailEvent, EmailMessage
from crm.email.services.consequences import draw_consequences
from crm.email.services.settling import batch_seen
from crm.email.services.timeline import bring_up_to_date
from crm.services.scoring import rescore_later
from thanos.log import redact

logger = logging.getLogger("crm.email")

CHUNK = 2_000
STEP_S = 20.0  # then the task queues itself again, behind other work
BEHIND_AFTER = timedelta(seconds=15)
_FIRST = UUID(int=0)
_COLUMNS = attrgetter(*COLUMNS)
_UPDATE = """
UPDATE crm_email_emailmessage AS message SET
  state = new.state, sent_at = new.sent_at, delivered_at = new.delivered_at, opened_at = new.opened_at,
  clicked_at = new.clicked_at, bounced_at = new.bounced_at, spam_at = new.spam_at,
  unsubscribed_at = new.unsubscribed_at, open_count = new.open_count, click_count = new.click_count, error = new.error
FROM unnest(%s::uuid[], %s::text[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[],
            %s::timestamptz[], %s::timestamptz[], %s::timestamptz[], %s::int[], %s::int[], %s::text[])
  AS new (id, state, sent_at, delivered_at, opened_at, clicked_at, bounced_at, spam_at, unsubscribed_at,
          open_count, click_count, error)
WHERE message.id = new.id
"""


@dataclass(frozen=True, slots=True)
class Change:
    """What a message was and is, and what had not been acted on."""

    id: UUID
    contact_id: int | None
    mailing_id: int | None
    before: Facts
    after: Facts


class _InDoubtError(Exception):
    """News of requests whose answer nobody has written down: that is settled first, outside of our locks."""

    def __init__(self, batches: Collection[UUID]) -> None:
        super().__init__("news of requests in doubt")
        self.batches = batches


def apply_events(*, step_s: float = STEP_S, chunk: int = CHUNK, now: datetime | None = None) -> bool:
    """Apply stored news for a while; return whether more is left. Safe to run several times at once."""
    until = time.monotonic() + step_s
    asked: set[UUID] = set()
    faulty: set[UUID] = set()
    after, size = _FIRST, chunk
    while time.monotonic() < until:
        try:
            last = _apply_piece(after, size, asked, faulty, now or timezone.now())
        except _InDoubtError as doubt:
            asked.update(doubt.batches)
            batch_seen(doubt.batches)
        except (OperationalError, InterfaceError):  # a deadlock, or the database is away: another time
            logger.exception("News of e-mail could not be applied now.")
            return False
        except Exception:
            if size > 1:
                size = 1  # one message's trouble is not the others'
                continue
            faulty.add(_next_message(after, faulty))
            logger.exception("News of an e-mail cannot be applied.")
            size = chunk
        else:
            if last is None and after == _FIRST:
                return False
            after = last or _FIRST  # once more from the beginning: news may have come before where we were
    return True


def is_behind(*, now: datetime | None = None) -> bool:
    """Tell whether news has been waiting for longer than its task should take."""
    now = now or timezone.now()
    return bool(EmailEvent.objects.filter(applied_at=None, received_at__lt=now - BEHIND_AFTER).exists())


def _waiting(after: UUID, faulty: Collection[UUID]) -> Any:
    waiting = EmailEvent.objects.filter(applied_at=None, message_id__gte=after).exclude(message_id__in=faulty)
    return waiting.order_by("message_id", "id")


def _next_message(after: UUID, faulty: Collection[UUID]) -> UUID:
    found = _waiting(after, faulty).values_list("message_id", flat=True).first()
    return found or after


def _apply_piece(after: UUID, size: int, asked: set[UUID], faulty: Collection[UUID], now: datetime) -> UUID | None:
    """Apply the next piece of news; return the last message of it, or None when there is none."""
    with transaction.atomic():
        rows = _waiting(after, faulty).select_for_update(skip_locked=True)
        claimed = list(rows.values_list("id", "message_id", "kind")[:size])
        if not claimed:
            return None
        ids = sorted({message_id for _, message_id, _ in claimed})
        _settle_first(ids, asked)
        changes = _recompute(ids)
        EmailEvent.objects.filter(pk__in=[pk for pk, _, _ in claimed]).update(applied_at=now)
        # Contacts before timelines.
        draw_consequences(claimed=claimed, changes=changes, now=now)
        touched = bring_up_to_date(message_ids=[change.id for change in changes if change.before != change.after])
        engaged = {change.id for change in changes if _is_engaged(change.before) != _is_engaged(change.after)}
        contacts = {contact for message_id, contact in touched.items() if message_id in engaged}
        if contacts:
            rescore_later(sorted(contacts))
        last: UUID = ids[-1]
        return last


def _is_engaged(facts: Facts) -> tuple[bool, bool]:
    return facts.opened_at is not None, facts.clicked_at is not None


def _settle_first(ids: Sequence[UUID], asked: set[UUID]) -> None:
    doubtful = EmailMessage.objects.filter(pk__in=ids, batch__state__in=(BatchState.ASKED, BatchState.UNKNOWN))
    batches = set(doubtful.values_list("batch", flat=True)) - asked
    if batches:
        raise _InDoubtError(batches)


def _recompute(ids: Sequence[UUID]) -> list[Change]:
    """Lock the messages, compute their columns from all their news, and write what is different."""
    rows = EmailMessage.objects.filter(pk__in=ids).order_by("pk").select_for_update(no_key=True)
    messages = list(rows.values("pk", "contact_id", "mailing_id", "error", *COLUMNS))
    # A statement of its own, behind the locks: it sees what was committed while we waited for them.
    news = _news_of(ids)
    changes, errors, scanned = [], {}, set()
    for row in messages:
        before = Facts(**{name: row[name] for name in COLUMNS})
        heard = news[row["pk"]]
        changes.append(Change(row["pk"], row["contact_id"], row["mailing_id"], before, fold(before, heard)))
        errors[row["pk"]] = row["error"]
        scanned |= scanned_clicks(heard)
    reasons = _reasons(changes)
    changed = [one for one in changes if one.before != one.after or reasons.get(one.id, "") != errors[one.id]]
    _write(changed, reasons)
    if scanned:
        EmailEvent.objects.filter(pk__in=scanned, is_machine=False).update(is_machine=True)
    return changes


def _news_of(ids: Sequence[UUID]) -> dict[UUID, list[News]]:
    found: dict[UUID, list[News]] = defaultdict(list)
    rows = EmailEvent.objects.filter(message_id__in=ids).order_by()
    for message_id, pk, kind, at, is_machine in rows.values_list("message_id", "id", "kind", "at", "is_machine"):
        found[message_id].append(News(pk, kind, at, is_machine))
    return found


def _reasons(changes: Iterable[Change]) -> dict[UUID, str]:
    """Return the receiving servers' words for what went wrong: of several, the first, whichever came first to us."""
    wanted = {change.id: TELLING[change.after.state] for change in changes if change.after.state in TELLING}
    if not wanted:
        return {}
    told = EmailEvent.objects.filter(message_id__in=list(wanted), kind__in=set(wanted.values()))
    found: dict[UUID, str] = {}
    for message_id, kind, detail in told.order_by("at", "provider_event_id").values_list("message_id", "kind", "detail"):
        if wanted[message_id] == kind and message_id not in found:
            words = (detail or {}).get("reason") or (detail or {}).get("response") or ""
            found[message_id] = redact(words)[:300]
    return found


def _write(changed: Sequence[Change], reasons: dict[UUID, str]) -> None:
    if not changed:
        return
    columns: list[list[Any]] = [list(column) for column in zip(*(_COLUMNS(one.after) for one in changed), strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(_UPDATE, [[one.id for one in changed], *columns, [reasons.get(one.id, "") for one in changed]])
        if cursor.rowcount != len(changed):
            raise DatabaseError("a locked message could not be written")
