"""Background work: ids in, one service call, safe to run twice."""

from __future__ import annotations

import logging
from typing import Any

from celery import shared_task
from django.db import DatabaseError, InterfaceError
from django.utils import timezone
from redis.exceptions import RedisError

from agents.llm.base import LlmError
from telephony.services import callers, finishing, metering, reconciling, recordings, seats, summaries
from telephony.transcripts.batch import write_pending
from telephony.twilio.errors import TelephonyError
from telephony.workers import calls_held
from tenants.celery import HEADER, for_each_tenant, publish
from tenants.models import Tenant

logger = logging.getLogger("telephony")


@shared_task(name="telephony.write_transcripts")  # type: ignore[untyped-decorator]
def write_transcripts() -> None:
    """Every second. While Redis or the database is away there is nothing to do but wait for the next time."""
    try:
        write_pending()
    except (RedisError, DatabaseError, InterfaceError) as error:
        logger.warning("Transcripts wait.", extra={"why": type(error).__name__})


@shared_task(name="telephony.log_call")  # type: ignore[untyped-decorator]
def log_call(*, call_id: str) -> None:
    callers.log_call(call_id=call_id)


@shared_task(name="telephony.meter_call")  # type: ignore[untyped-decorator]
def meter_call(*, call_id: str) -> None:
    write_pending()  # when its streams began and ended may still be on the way
    callers.log_call(call_id=call_id)  # whose call it was is known then
    metering.meter_call(call_id=call_id)


@shared_task(bind=True, name="telephony.write_summary", max_retries=4)  # type: ignore[untyped-decorator]
def write_summary(self: Any, *, call_id: str) -> None:
    write_pending()
    try:
        summaries.summarise_call(call_id=call_id)
        callers.log_call(call_id=call_id)  # the timeline gets what it was about
    except LlmError as error:
        if not error.retryable or self.request.retries >= self.max_retries:
            logger.warning("A summary was given up.", extra={"call": call_id, "why": str(error)})
            summaries.give_up_summary(call_id=call_id)
            return
        raise self.retry(exc=error, countdown=5 * 2**self.request.retries) from None


@shared_task(bind=True, name="telephony.fetch_recording", max_retries=8)  # type: ignore[untyped-decorator]
def fetch_recording(self: Any, *, recording_id: int) -> None:
    try:
        recordings.download_recording(recording_id=recording_id)
    except TelephonyError as error:
        if not error.retryable or self.request.retries >= self.max_retries:
            recordings.give_up_recording(recording_id=recording_id)
            return
        raise self.retry(exc=error, countdown=min(2 * 2**self.request.retries, 300)) from None


@shared_task(bind=True, name="telephony.forget_recording", max_retries=12)  # type: ignore[untyped-decorator]
def forget_recording(self: Any, *, recording_sid: str) -> None:
    try:
        recordings.forget_recording(recording_sid=recording_sid)
    except TelephonyError as error:
        if not error.retryable or self.request.retries >= self.max_retries:
            logger.error("The carrier keeps a recording that was to be erased.", extra={"recording": recording_sid})
            return
        raise self.retry(exc=error, countdown=min(10 * 2**self.request.retries, 3600)) from None


@shared_task(name="telephony.sweep_open_calls")  # type: ignore[untyped-decorator]
def sweep_open_calls() -> None:
    """Finalise calls whose end nobody told us, and free the seats of those that are over."""
    held = calls_held()
    carrier_answers = True

    def sweep(tenant: Tenant) -> None:
        nonlocal carrier_answers
        doubtful = finishing.doubtful_calls(timezone.now(), held=held)
        carrier_answers = finishing.reconcile_calls(doubtful, ask=carrier_answers)
        for call_id in callers.unlogged_calls():
            callers.log_call(call_id=call_id)
        for call_id in metering.unmetered_calls():
            metering.meter_call(call_id=call_id)
        metering.release_orphans()
        seats.reconcile_seats(schema=tenant.schema_name)

    for_each_tenant(sweep)


@shared_task(name="telephony.sweep_summaries")  # type: ignore[untyped-decorator]
def sweep_summaries() -> None:
    """Summaries and recordings whose task was lost."""

    def sweep(tenant: Tenant) -> None:
        headers = {HEADER: tenant.schema_name}
        for call_id in summaries.claim_overdue():
            publish(write_summary, call_id=call_id, headers=headers)
        for recording_id in recordings.stranded():
            publish(fetch_recording, recording_id=recording_id, headers=headers)

    for_each_tenant(sweep)


@shared_task(name="telephony.sweep_prices")  # type: ignore[untyped-decorator]
def sweep_prices() -> None:
    """Compare what calls cost here with what the carrier charges, once it says so."""
    for_each_tenant(lambda tenant: reconciling.reconcile_calls())


@shared_task(name="telephony.sweep_recordings")  # type: ignore[untyped-decorator]
def sweep_recordings() -> None:
    for_each_tenant(lambda tenant: recordings.delete_expired())
