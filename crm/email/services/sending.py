"""Messages leave: claim, look again, render, write down that the provider is asked, ask, write down the answer.

A worker may be killed behind any of these. Before the request is written down nothing has been sent, and the claim is
given back when its lease ends; from then on only an answer, or the provider's events, move the messages on (settling).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import redis
from django.utils import timezone

from crm.email.enums import BatchState, MessageState, PauseReason
from crm.email.models import EmailMessage, Mailing, SendBatch
from crm.email.providers import registry
from crm.email.providers.base import Accepted, Answer, NoAnswer, NotSent, Outgoing, Provider, Refused
from crm.email.rendering.renderer import RenderError, RendererUnavailableError
from crm.email.services import limits, refusing
from crm.email.services.batches import requests_for, words_of
from crm.email.services.claiming import (
    MAX_SIZE,
    Claim,
    begin_request,
    claim_mailing,
    claim_singles,
    drop_unwanted,
    due_of,
    due_singles,
    end_messages,
    like,
)
from crm.email.services.finishing import finish_mailing, pause_if_bouncing
from crm.email.services.mailings import pause_mailing
from crm.email.services.queueing import renew_senders
from crm.email.services.settling import accept_batch, note_unknown, release_batch
from crm.email.services.timeline import log_letters
from thanos.log import redact

logger = logging.getLogger("crm")

STEP_S = 20.0  # then the next task goes on, so that one mailing does not keep a worker for itself
ONE_BY_ONE = 50  # claimed at once where each message is a request
UNREACHABLE_S = 15.0
UNANSWERED_AT_MOST = 3  # requests in a row; then a person looks at it


@dataclass(slots=True)
class Run:
    """A while of sending: with what, until when, and why it has to end before."""

    provider: Provider
    until: float
    clock: Callable[[], float]
    stopped: bool = False
    wait_s: float | None = None  # after a stop: when to go on; None: not by itself

    @property
    def is_over(self) -> bool:
        return self.stopped or self.clock() > self.until

    def stop(self, wait_s: float | None = None) -> None:
        self.stopped, self.wait_s = True, wait_s

    @property
    def claim_size(self) -> int:
        """What a step can do, or the rest would be rendered in vain."""
        go_together = self.provider.max_recipients > 1 and self.provider.max_varying_bytes > 0
        return MAX_SIZE if go_together else ONE_BY_ONE


def send_mailing(
    *,
    mailing_id: int,
    provider: Provider | None = None,
    step_s: float = STEP_S,
    clock: Callable[[], float] = time.monotonic,
) -> float | None:
    """Send a mailing's due messages for a while; return in how many seconds to go on, None when a sweep will see to it.

    Raises redis.RedisError when nobody knows how many may go.
    """
    mailing = Mailing.objects.get(pk=mailing_id)
    provider = provider or registry.provider()
    if provider is None:
        pause_mailing(mailing=mailing, reason=PauseReason.NO_PROVIDER)
        return None
    run = Run(provider, clock() + step_s, clock)
    try:
        with limits.one_at_a_time(f"mailing:{mailing_id}") as is_mine:
            return _send_mailing(mailing, run) if is_mine else None
    finally:
        provider.close()


def _send_mailing(mailing: Mailing, run: Run) -> float | None:
    while not run.is_over:
        now = timezone.now()
        waiting = due_of(mailing, now=now)[: run.claim_size].count()
        if not waiting:
            return finish_mailing(mailing=mailing, now=now)
        granted = limits.take(waiting)
        if not granted.count:
            Mailing.objects.filter(pk=mailing.pk).update(touched_at=now)
            return granted.wait_s
        claim = claim_mailing(mailing=mailing, provider=run.provider.name, size=granted.count, now=now)
        limits.give_back(granted.count - (len(claim.messages) if claim else 0))
        if claim is None:
            return None
        send_claim(claim, run)
        if pause_if_bouncing(mailing=mailing):
            return None
    return run.wait_s if run.stopped else 0.0


def send_singles(
    *,
    message_id: UUID | str | None = None,
    provider: Provider | None = None,
    step_s: float = STEP_S,
    clock: Callable[[], float] = time.monotonic,
) -> float | None:
    """Send one message outside of mailings, or all that are due; return in how many seconds to go on.

    None when nothing is left, or another worker is on it. Without a provider they wait for one. Raises redis.RedisError.
    """
    provider = provider or registry.provider()
    if provider is None:
        return None
    run = Run(provider, clock() + step_s, clock)
    try:
        if message_id is not None:
            return _send_next(due_singles(now=timezone.now()).filter(pk=message_id), run)[1]
        with limits.one_at_a_time("singles") as is_mine:
            return _send_all_singles(run) if is_mine else None
    finally:
        provider.close()


def _send_all_singles(run: Run) -> float | None:
    while not run.is_over:
        found, wait_s = _send_next(due_singles(now=timezone.now()).order_by("not_before", "id"), run)
        if not found or wait_s is not None:
            return wait_s
    return run.wait_s if run.stopped else 0.0


def _send_next(due: Any, run: Run) -> tuple[bool, float | None]:
    """Return whether there was one, and how long to wait if nothing may go now."""
    first = due.first()
    if first is None:
        return False, None
    renew_senders(first)
    return True, _send_like(first, run, timezone.now())


def _send_like(first: EmailMessage, run: Run, now: datetime) -> float | None:
    granted = limits.take(like(first, now=now)[: run.claim_size].count() or 1)
    if not granted.count:
        return granted.wait_s
    claim = claim_singles(like_message=first, provider=run.provider.name, size=granted.count, now=now)
    limits.give_back(granted.count - (len(claim.messages) if claim else 0))
    if claim is not None:
        send_claim(claim, run)
    return None


def send_claim(claim: Claim, run: Run) -> None:
    """Send what was claimed, and give back what could not be asked for.

    What fails for a reason nobody has thought of is put off, each time for longer: others are not to wait behind it.
    """
    letters = [message for message in claim.messages if message.user is not None and message.mailing_id is None]
    try:
        drop_unwanted(claim)
        if claim.messages:
            _ask_all(claim, run)
    except redis.RedisError:
        raise
    except Exception:
        logger.exception("Messages could not be sent.", extra={"batch": str(claim.batch.pk)})
        _put_off(claim, "Something went wrong here before it could be sent.")
    finally:
        _let_go(claim)
        log_letters(message_ids=[message.pk for message in letters])


def _put_off(claim: Claim, error: str) -> None:
    limits.give_back(refusing.put_off_claim(row=claim.batch, error=error))


def _let_go(claim: Claim) -> None:
    """Give back what is left of a claim, and forget it if nothing was ever asked under its name."""
    left = EmailMessage.objects.filter(batch=claim.batch.pk, state=MessageState.CLAIMED).count()
    if release_batch(claim.batch.pk, from_states=(BatchState.CLAIMED,)):
        SendBatch.objects.filter(pk=claim.batch.pk, state=BatchState.RELEASED, asked_at=None).delete()
        limits.give_back(left)


def _ask_all(claim: Claim, run: Run) -> None:
    try:
        words = words_of(claim)
    except RendererUnavailableError as error:
        # At the price of an attempt: a template that kills its renderer each time comes to an end.
        _put_off(claim, str(error))
        run.stop(UNREACHABLE_S)
        return
    except RenderError as error:
        _template_is_broken(claim, run, error)
        return
    failed = [
        (message, row) for message, row in zip(claim.messages, words.rows, strict=True) if isinstance(row, RenderError)
    ]
    if len(failed) == len(words.rows) > 1:
        _template_is_broken(claim, run, failed[0][1])
        return
    for message, trouble in failed:
        end_messages(claim.batch, [message.pk], state=MessageState.FAILED, error=_said(trouble))
    for at, (messages, batch) in enumerate(requests_for(claim, words, run.provider)):
        # The first one goes even if rendering took all the time there was: the next worker would get no further.
        if (at and run.is_over) or not _ask(claim, messages, batch, run):
            return


def _said(error: RenderError) -> str:
    return redact(f"{error} ({error.place})")[:300]  # it may quote a value


def _template_is_broken(claim: Claim, run: Run, error: RenderError) -> None:
    if claim.mailing is not None:
        pause_mailing(mailing=claim.mailing, reason=PauseReason.TEMPLATE, error=_said(error))
        run.stop()
        return
    ids = [message.pk for message in claim.messages]
    end_messages(claim.batch, ids, state=MessageState.FAILED, error=_said(error))


def _ask(claim: Claim, messages: list[EmailMessage], batch: Outgoing, run: Run) -> bool:
    """Ask the provider once; False when nothing more may be asked under this claim."""
    row = begin_request(claim=claim, messages=messages)
    if row is None:
        return False
    answer = run.provider.send(batch)
    if isinstance(answer, Refused) and answer.is_too_large and len(messages) > 1:
        return _ask_halves(claim, row, messages, batch, run)
    settle(row=row, mailing=claim.mailing, messages=messages, answer=answer, run=run)
    return True


def _ask_halves(claim: Claim, row: SendBatch, messages: list[EmailMessage], batch: Outgoing, run: Run) -> bool:
    """A request that was too large becomes two, each under a claim of its own."""
    middle = len(messages) // 2
    halves = refusing.split(row=row, parts=(messages[:middle], messages[middle:]))
    goes_on = True
    for half_row, part in zip(halves, (slice(None, middle), slice(middle, None)), strict=False):
        half = Claim(half_row, claim.mailing, messages[part])
        goes_on = goes_on and not run.is_over
        goes_on = goes_on and _ask(half, half.messages, replace(batch, recipients=batch.recipients[part]), run)
        _let_go(half)
    return goes_on


def settle(*, row: SendBatch, mailing: Mailing | None, messages: list[EmailMessage], answer: Answer, run: Run) -> None:
    """Write down what came of a request."""
    match answer:
        case Accepted(provider_id, status):
            accept_batch(row.pk, provider_id=provider_id, status_code=status)
        case NoAnswer(text):
            note_unknown(row.pk, error=text)
            _leave_alone(mailing, run, text)
        case NotSent(text):
            later = timezone.now() + timedelta(seconds=UNREACHABLE_S)
            release_batch(row.pk, from_states=refusing.IN_DOUBT, not_before=later, error=text)
            run.stop(UNREACHABLE_S)
        case Refused():
            verdict = refusing.refuse(row=row, mailing=mailing, messages=messages, answer=answer)
            if verdict.rest_s:
                limits.rest(verdict.rest_s)
            if verdict.is_stop:
                run.stop(verdict.rest_s or None)


def _leave_alone(mailing: Mailing | None, run: Run, text: str) -> None:
    """Who does not answer may be down, and each further request would leave as many messages in doubt."""
    if mailing is not None and _unanswered_in_a_row(mailing):
        pause_mailing(mailing=mailing, reason=PauseReason.REFUSED, error=text)
    run.stop(refusing.REST_S)
    limits.rest(refusing.REST_S)


def _unanswered_in_a_row(mailing: Mailing) -> bool:
    asked = SendBatch.objects.filter(mailing=mailing).exclude(asked_at=None).order_by("-asked_at")
    last = list(asked.values_list("state", flat=True)[:UNANSWERED_AT_MOST])
    return last == [BatchState.UNKNOWN] * UNANSWERED_AT_MOST
