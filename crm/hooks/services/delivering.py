"""Sending what is due: claim one delivery, send it, write down what came of it.

    pending ──claim──▶ pending, claimed_until ──2xx──▶ delivered
                 ▲            │
                 └──backoff───┴──tenth failure──▶ failed      (sent again by hand: pending, ten more)

A claim is a conditional UPDATE that also counts the attempt, so two workers never make the same one, and a worker that
was killed holds a delivery for two minutes only. Claims of one receiver are made one after the other (its row is
locked for a moment), which is how their number is bounded: a receiver that is slow or fails has one request at a time
and rests in between, so it cannot take the workers away from the others. No order is promised.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Coalesce
from django.utils import timezone

from crm.hooks.addresses import read_networks
from crm.hooks.backoff import SLOW_S, delay_s, rest_s
from crm.hooks.enums import DeliveryState, Event, PauseReason, Problem
from crm.hooks.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from crm.hooks.sending import Outcome, send
from crm.hooks.services.pausing import pause_endpoint
from crm.hooks.signing import signature

CLAIM_LASTS = timedelta(minutes=2)  # much longer than an attempt can take
AT_ONCE = 3  # requests to one receiver; one while it is slow or failing
TASK_BUDGET_S = 20.0  # then the task queues itself again, behind those of other receivers
COMES_BACK_WITHIN_S = 60.0  # a longer rest is left to the sweep

PAUSES_AFTER = timedelta(days=3)
PAUSES_AFTER_FAILURES = 10

USER_AGENT = "Thanotopolis-Webhooks/1"
Sender = Callable[..., Outcome]


@dataclass(frozen=True, slots=True)
class Claim:
    endpoint: WebhookEndpoint
    delivery: WebhookDelivery
    attempt: int  # of all attempts of this delivery; what its claim is recognised by
    at: datetime


def deliver_due(
    *, endpoint_id: UUID | str, sender: Sender = send, clock: Callable[[], float] = time.monotonic
) -> float | None:
    """Send what is due for one receiver, for a while; return in how many seconds to come back for more (None: not)."""
    until = clock() + TASK_BUDGET_S
    while clock() < until:
        claim = claim_next(endpoint_id=endpoint_id)
        if claim is None:
            return None
        rest = settle(claim=claim, outcome=sender(**request_of(claim)))
        if rest:
            return rest if rest <= COMES_BACK_WITHIN_S else None
    return 0.0


def claim_next(*, endpoint_id: UUID | str, now: datetime | None = None) -> Claim | None:
    """Return the receiver's next due delivery as ours to send, or None."""
    now = now or timezone.now()
    with transaction.atomic():
        # NO KEY UPDATE: an import that has inserted thousands of deliveries and not committed yet does not wait here.
        rows = WebhookEndpoint.objects.kept().select_for_update(no_key=True)
        endpoint = rows.filter(pk=endpoint_id, is_active=True).first()
        if endpoint is None or (endpoint.resting_until and endpoint.resting_until > now):
            return None
        if endpoint.deliveries.claimed(now).count() >= _allowed_at_once(endpoint):
            return None
        due = endpoint.deliveries.due(now)
        if endpoint.is_paused:
            due = due.filter(event=Event.TEST)  # so that one can try before resuming
        delivery = due.order_by("next_attempt_at").first()
        return None if delivery is None else _claim(endpoint, delivery, now)


def _allowed_at_once(endpoint: WebhookEndpoint) -> int:
    is_slow = (endpoint.last_duration_ms or 0) > SLOW_S * 1000
    return 1 if is_slow or endpoint.consecutive_failures else AT_ONCE


def _claim(endpoint: WebhookEndpoint, delivery: WebhookDelivery, now: datetime) -> Claim | None:
    attempt = delivery.attempts + 1
    if delivery.claimed_until is not None:  # whoever held it has not come back
        values = {"at": delivery.claimed_until - CLAIM_LASTS, "problem": Problem.INTERRUPTED}
        WebhookAttempt.objects.get_or_create(delivery=delivery, number=delivery.attempts, defaults=values)
    untaken = WebhookDelivery.objects.due(now).filter(pk=delivery.pk, attempts=delivery.attempts)
    claimed = untaken.update(claimed_until=now + CLAIM_LASTS, attempts=attempt)
    return Claim(endpoint, delivery, attempt, now) if claimed else None


def request_of(claim: Claim) -> dict[str, object]:
    """Return the arguments for `send`."""
    body = claim.delivery.body()
    keys = claim.endpoint.signing_keys(claim.at)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "Webhook-Id": str(claim.delivery.pk),
        "Webhook-Event": claim.delivery.event,
        "Webhook-Signature": signature(keys=keys, timestamp=int(claim.at.timestamp()), body=body),
    }
    allowed = read_networks(settings.ENV.webhook_allowed_networks)
    return {"url": claim.endpoint.url, "body": body, "headers": headers, "allowed": allowed}


def settle(*, claim: Claim, outcome: Outcome, now: datetime | None = None) -> float:
    """Write down what came of an attempt; return for how many seconds the receiver is left alone."""
    now = now or timezone.now()
    with transaction.atomic():
        endpoint = WebhookEndpoint.objects.select_for_update(no_key=True).get(pk=claim.endpoint.pk)
        if not _settle_delivery(claim, outcome, now):
            return 0.0  # our claim had run out: the attempt counts as interrupted, and another worker's counts
        failures = 0 if outcome.is_success else endpoint.consecutive_failures + 1
        rest = rest_s(failures=failures, duration_s=outcome.duration_ms / 1000)
        WebhookEndpoint.objects.filter(pk=endpoint.pk).update(
            consecutive_failures=failures,
            failing_since=None if outcome.is_success else Coalesce(F("failing_since"), now),
            resting_until=now + timedelta(seconds=rest) if rest else None,
            last_attempt_at=claim.at,
            last_problem=outcome.problem,
            last_duration_ms=outcome.duration_ms,
        )
        since = endpoint.failing_since or now
        if outcome.problem == Problem.GONE:
            pause_endpoint(endpoint=endpoint, reason=PauseReason.GONE, now=now)
        elif failures >= PAUSES_AFTER_FAILURES and since <= now - PAUSES_AFTER:
            pause_endpoint(endpoint=endpoint, reason=PauseReason.FAILING, now=now)
    return rest


def _settle_delivery(claim: Claim, outcome: Outcome, now: datetime) -> bool:
    round_ = claim.attempt - claim.delivery.attempts_before
    delay = delay_s(attempt=round_, chance=random.random(), retry_after_s=outcome.retry_after_s)
    state, next_at = DeliveryState.PENDING, None
    if outcome.is_success:
        state = DeliveryState.DELIVERED
    elif delay is None:
        state = DeliveryState.FAILED
    else:
        next_at = now + timedelta(seconds=delay)
    held = WebhookDelivery.objects.filter(pk=claim.delivery.pk, attempts=claim.attempt, claimed_until__isnull=False)
    moved = held.update(
        state=state,
        next_attempt_at=next_at,
        claimed_until=None,
        last_status_code=outcome.status_code,
        last_problem=outcome.problem,
        response_excerpt=outcome.excerpt,
        duration_ms=outcome.duration_ms,
        finished_at=None if state == DeliveryState.PENDING else now,
    )
    if moved:
        WebhookAttempt.objects.create(
            delivery=claim.delivery,
            number=claim.attempt,
            at=claim.at,
            status_code=outcome.status_code,
            problem=outcome.problem,
            duration_ms=outcome.duration_ms,
            response_excerpt=outcome.excerpt,
        )
    return bool(moved)
