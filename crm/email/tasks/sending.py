"""Tasks of sending. A task that is lost, or ends with an error, is made up for by the sweep.

An organisation that is switched off sends nothing: what waits goes on when it is switched on again.
"""

from __future__ import annotations

import logging

import redis
from celery import shared_task
from django.utils import timezone

from crm.email.enums import MailingState
from crm.email.services import mailings, preparing, sending, settling, sweeping
from tenants.celery import HEADER, for_each_tenant, publish
from tenants.context import current_tenant
from tenants.models import Tenant

logger = logging.getLogger("crm")

LONGEST_COUNTDOWN_S = 30.0  # what has to wait for longer is the sweep's


@shared_task(name="crm_email.prepare_mailing")  # type: ignore[untyped-decorator]
def prepare_mailing(*, mailing_id: int) -> None:
    """Write messages for a while; the rest is another task's, behind those of other mailings."""
    if not current_tenant().is_active:
        return
    mailings.renew_sender(mailing_id=mailing_id)  # it may have been scheduled for long
    if preparing.prepare_mailing(mailing_id=mailing_id):
        publish(prepare_mailing, mailing_id=mailing_id)


@shared_task(name="crm_email.send_mailing")  # type: ignore[untyped-decorator]
def send_mailing(*, mailing_id: int) -> None:
    """Send for a while; the rest is another task's."""
    if not current_tenant().is_active:
        return
    mailings.renew_sender(mailing_id=mailing_id)  # mornings come one after the other, and a domain may be lost between
    try:
        wait_s = sending.send_mailing(mailing_id=mailing_id)
    except redis.RedisError:
        logger.warning("E-mail waits: Redis is away, and nobody knows how many may go.")
        return
    if wait_s is not None and wait_s <= LONGEST_COUNTDOWN_S:
        publish(send_mailing, mailing_id=mailing_id, countdown=wait_s)


@shared_task(name="crm_email.send_single")  # type: ignore[untyped-decorator]
def send_single(*, message_id: str | None = None) -> None:
    """Send one message outside of mailings, or (None) all that are due.

    What has to wait is the sweep's: a task of its own for each message would never end to multiply.
    """
    if not current_tenant().is_active:
        return
    try:
        wait_s = sending.send_singles(message_id=message_id)
    except redis.RedisError:
        logger.warning("E-mail waits: Redis is away, and nobody knows how many may go.")
        return
    if message_id is None and wait_s == 0.0:  # there was no time for the rest
        publish(send_single)


@shared_task(name="crm_email.log_batch")  # type: ignore[untyped-decorator]
def log_batch(*, batch_id: str) -> None:
    settling.log_batch(batch_id=batch_id)


@shared_task(name="crm_email.sweep_sending")  # type: ignore[untyped-decorator]
def sweep_sending() -> None:
    """Scheduled starts, silent mailings, messages that were put off, and requests nobody has settled."""
    for_each_tenant(_sweep)


def _sweep(tenant: Tenant) -> None:
    if not tenant.is_active:
        return
    now = timezone.now()
    headers = {HEADER: tenant.schema_name}
    settling.settle_all(now=now)
    for batch_id in settling.unlogged_batches(now=now):
        publish(log_batch, batch_id=str(batch_id), headers=headers)
    for pk in [*sweeping.start_due(now=now), *sweeping.silent_mailings(MailingState.PREPARING, now=now)]:
        publish(prepare_mailing, mailing_id=pk, headers=headers)
    for pk in sweeping.due_mailings(now=now):
        publish(send_mailing, mailing_id=pk, headers=headers)
    if sweeping.has_due_singles(now=now):
        publish(send_single, headers=headers)
