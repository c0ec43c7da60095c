"""What the carrier and the voice agent's provider charge, against what the ledger says."""

from __future__ import annotations

import logging
from datetime import date, datetime, timedelta
from decimal import Decimal

import requests
from django.conf import settings
from django.db.models import Sum
from django.utils import timezone

from billing.enums import Kind
from billing.models import LedgerEntry
from billing.services.reconciling import Figure, FiguresError, fits, note_drift, register
from telephony.costing import CARRIER
from telephony.enums import Direction
from telephony.models import Call
from telephony.services.carrier import carrier
from telephony.twilio.errors import NotConfiguredError, NotFoundError, TelephonyError
from tenants.context import current_tenant

logger = logging.getLogger("telephony")

PRICED_AFTER = timedelta(minutes=15)  # the carrier names no price before some time after the end
ASKED_UNTIL = timedelta(days=3)
AT_ONCE = 50
TIMEOUT_S = 20.0


def unreconciled_calls(*, now: datetime | None = None) -> list[Call]:
    now = now or timezone.now()
    over = Call.objects.filter(reconciled_at=None, ended_at__lt=now - PRICED_AFTER, ended_at__gt=now - ASKED_UNTIL)
    return list(over.exclude(direction=Direction.BROWSER).exclude(metered_at=None).order_by("ended_at")[:AT_ONCE])


def reconcile_call(*, call: Call, now: datetime | None = None) -> bool | None:
    """Compare a call's price at the carrier with ours; None while the carrier has none. Raises TelephonyError.

    The carrier's price is of the call itself: its stream, and legs to other people, have prices of their own.
    """
    try:
        known = carrier().fetch_call(call.call_sid)
    except (NotFoundError, NotConfiguredError):
        Call.objects.filter(pk=call.pk).update(reconciled_at=now or timezone.now())
        return None
    if known.price is None:
        return None
    tenant = current_tenant()
    rows = LedgerEntry.objects.filter(
        tenant=tenant, kind=Kind.CALL, subject=str(call.pk), provider=CARRIER, item__in=["voice-inbound", "voice-outbound"]
    ).exclude(key__contains=":dial:")
    ours = rows.aggregate(sum=Sum("amount"))["sum"]
    agrees = ours is not None and fits(ours, known.price)
    if not agrees:
        note_drift(
            provider=CARRIER,
            what=f"call {call.call_sid}",
            day=call.started_at.date(),
            ours=ours,
            theirs=known.price,
            keys=list(rows.values_list("key", flat=True)),
            currency=known.currency,
            tenant=tenant,
        )
    Call.objects.filter(pk=call.pk).update(reconciled_at=now or timezone.now())
    return agrees


def reconcile_calls() -> int:
    """Compare the entered tenant's calls whose price is to be had; return how many. Stops when the carrier is away."""
    count = 0
    for call in unreconciled_calls():
        try:
            count += reconcile_call(call=call) is not None
        except TelephonyError:
            logger.warning("The carrier did not name a price; it is asked again.")
            break
    return count


def agent_minutes(day: date) -> list[Figure] | None:
    """Return the minutes of voice agents by Deepgram's own count (GET /v1/projects/{id}/usage/breakdown)."""
    env = settings.ENV
    if not (env.deepgram_api_key and env.deepgram_project_id):
        return None
    url = f"{env.deepgram_api_url}/v1/projects/{env.deepgram_project_id}/usage/breakdown"
    query = {"start": day.isoformat(), "end": day.isoformat()}
    headers = {"Authorization": f"Token {env.deepgram_api_key}"}
    try:
        answer = requests.get(url, params=query, headers=headers, timeout=TIMEOUT_S)
        answer.raise_for_status()
        rows = answer.json()["results"]
        hours = sum((Decimal(str(row.get("agent_hours") or 0)) for row in rows), Decimal(0))
    except (requests.RequestException, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FiguresError(type(error).__name__) from None
    return [Figure("voice-agent", "minute", hours * 60)]


register("deepgram", agent_minutes)
