"""Scores, recomputed in the background whenever something they depend on has changed."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Count, Q
from django.utils import timezone

from crm.enums import InteractionKind, RuleKind
from crm.models import Contact, Interaction, ScoreRule
from crm.scores import COUNTED, score
from tenants.celery import publish

BATCH = 1000


def rescore_later(ids: Collection[int]) -> None:
    """Have contacts scored once the open transaction is committed. What is lost on the way the nightly round finds."""
    from crm.tasks import score_contacts

    wanted = list(ids)
    transaction.on_commit(lambda: publish(score_contacts, ids=wanted))


def score_contacts(*, ids: Sequence[int], now: datetime | None = None) -> int:
    """Score contacts by the tenant's rules; return how many scores changed. Must run inside the tenant."""
    now = now or timezone.now()
    rules = list(ScoreRule.objects.filter(is_active=True))
    contacts = list(Contact.objects.filter(pk__in=ids).defer("notes", "search"))
    counts = _counts(rules, ids, now)
    rows = []
    for contact in contacts:
        points, reasons = score(contact, rules, counts[contact.pk], now)
        rows.append((contact.pk, points, json.dumps(reasons)))
    return _store(rows, now)


def _counts(rules: Sequence[ScoreRule], ids: Sequence[int], now: datetime) -> dict[int, dict[int, int]]:
    """Return, by contact, how often each counted rule's event happened: one question for all of them."""
    counted = [rule for rule in rules if rule.kind in COUNTED]
    found: dict[int, dict[int, int]] = defaultdict(dict)
    if not counted:
        return found
    columns = {f"rule_{rule.pk}": Count("pk", filter=_event(rule, now)) for rule in counted}
    for row in Interaction.objects.filter(contact__in=ids).order_by().values("contact").annotate(**columns):
        found[row["contact"]] = {rule.pk: row[f"rule_{rule.pk}"] for rule in counted}  # type: ignore[literal-required]
    return found


def _event(rule: ScoreRule, now: datetime) -> Q:
    recent = Q(interaction_date__gte=now - timedelta(days=rule.within_days)) if rule.within_days else Q()
    if rule.kind == RuleKind.CALLS_ANSWERED:
        return recent & Q(kind=InteractionKind.PHONE_CALL, metadata__answered=True)
    if rule.kind == RuleKind.EMAIL_ENGAGED:
        return recent & Q(kind=InteractionKind.EMAIL, metadata__has_any_keys=["opened_at", "clicked_at"])
    return recent & (Q(kind=rule.value) if rule.value else Q())


def _store(rows: list[tuple[int, int, str]], now: datetime) -> int:
    """Write scores. A contact whose score is as it was is left alone, but for the time it was looked at."""
    if not rows:
        return 0
    ids, points, reasons = zip(*rows, strict=True)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE crm_contact SET score = new.score, score_reasons = new.reasons::jsonb, scored_at = %s
            FROM unnest(%s::bigint[], %s::int[], %s::text[]) AS new (id, score, reasons)
            WHERE crm_contact.id = new.id AND (crm_contact.score IS DISTINCT FROM new.score
                  OR crm_contact.score_reasons IS DISTINCT FROM new.reasons::jsonb OR crm_contact.scored_at IS NULL)
            """,
            [now, list(ids), list(points), list(reasons)],
        )
        return int(cursor.rowcount)


def somebody_is_new() -> bool:
    """Tell whether contacts wait for their first score, as after an import."""
    return bool(Contact.objects.live().filter(scored_at=None).exists())


def score_everybody(*, after: int = 0, only_new: bool = False, limit: int = 20 * BATCH) -> int | None:
    """Score the contacts behind an id, a batch at a time; return the last id dealt with, or None at the end."""
    for _ in range(0, limit, BATCH):
        waiting: Any = Contact.objects.live().filter(pk__gt=after)
        if only_new:
            waiting = waiting.filter(scored_at=None)
        ids = list(waiting.order_by("pk").values_list("pk", flat=True)[:BATCH])
        if not ids:
            return None
        score_contacts(ids=ids)
        after = ids[-1]
    return after
