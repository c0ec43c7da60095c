"""A fortnight of calls for the demonstration's organisation: transcripts, timelines and costs, as real ones leave them."""

from __future__ import annotations

import json
import random
import uuid
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone

DATA = Path(__file__).resolve().parent / "data" / "demo_calls.json"
WORDS_A_SECOND = 2.4
STREAM = 1_000_000  # entries of a call's first stream are numbered from here


def add_calls(*, own_number: str) -> int:
    """Add the calls and return how many. Run inside the tenant, once its contacts are there."""
    from crm.models import Contact
    from telephony.models import Call, Line
    from tenants.context import current_tenant

    data = json.loads(DATA.read_text())
    chance = random.Random(7)
    tenant, line, now = current_tenant(), Line.objects.get(phone_number=own_number), timezone.now()
    numbers = [contact.phone for contact in Contact.objects.live() if contact.phone]
    numbers += [f"+1555013{n:04d}" for n in range(100, 112)]  # people nobody knows yet
    rows: list[Call] = []
    for days_ago in range(data["days"], 0, -1):
        day = (now.astimezone(ZoneInfo(tenant.time_zone)) - timedelta(days=days_ago)).replace(minute=0, second=0)
        for _ in range(chance.randint(*data["calls_a_day"])):
            started_at = day.replace(hour=chance.randint(9, 17)) + timedelta(seconds=chance.randint(0, 3599))
            talk = chance.choice(data["conversations"])
            rows.append(_add_call(talk, line, chance.choice(numbers), own_number, started_at, chance))
    return len(rows)


def _add_call(talk: dict[str, Any], line: Any, caller: str, own: str, started_at: datetime, chance: random.Random) -> Any:
    from telephony.enums import CallStatus, EventKind, Role, SummaryStatus
    from telephony.models import Call, CallEvent, CallMessage
    from telephony.services.callers import log_call
    from telephony.services.metering import meter_call
    from telephony.services.plans import compose_line
    from tenants.context import current_tenant
    from thanos.encryption import blind_index, blind_words

    greeting = compose_line(line=line, tenant=current_tenant(), version=None).greeting
    at = started_at + timedelta(seconds=1)
    messages, events = [], [(EventKind.STREAM_STARTED, at)]
    for number, (who, text) in enumerate([["agent", greeting], *talk["turns"]]):
        is_agent = who == "agent"
        listen, think, speak = (chance.randint(low, high) for low, high in ((80, 160), (240, 620), (90, 210)))
        latency = {"total": listen + think + speak, "listen": listen, "think": think, "speak": speak}
        at += timedelta(seconds=0.8 if is_agent else 1.4)
        messages.append(
            (number, Role.ASSISTANT if is_agent else Role.USER, text, at, latency if is_agent and number else None)
        )
        at += timedelta(seconds=len(text.split()) / WORDS_A_SECOND)
    events.append((EventKind.STREAM_ENDED, at))
    call = Call.objects.create(
        call_sid=f"CA{uuid.UUID(int=chance.getrandbits(128)).hex}",
        line=line,
        from_number=caller,
        from_index=blind_index(caller),
        to_number=own,
        to_index=blind_index(own),
        status=CallStatus.COMPLETED,
        started_at=started_at,
        answered_at=started_at + timedelta(seconds=1),
        ended_at=at,
        stream_ended_at=at,
        stream_count=1,
        duration_s=round((at - started_at).total_seconds()),
        duration_is_measured=True,
        ended_reason=talk["ended_reason"],
        summary=talk["summary"],
        summary_status=SummaryStatus.DONE if talk["summary"] else SummaryStatus.NOTHING_SAID,
        reconciled_at=timezone.now(),  # the stand-in for the carrier never had it
    )
    CallMessage.objects.bulk_create(
        CallMessage(
            call=call, sequence=STREAM + 10 + number, role=role, text=text, spoken_at=spoken, latency=latency,
            words=blind_words(text),
        )
        for number, role, text, spoken, latency in messages
    )  # fmt: skip
    CallEvent.objects.bulk_create(
        CallEvent(call=call, sequence=STREAM + (1 if kind == EventKind.STREAM_STARTED else 900), kind=kind, at=when)
        for kind, when in events
    )
    log_call(call_id=str(call.pk))
    meter_call(call_id=str(call.pk), now=at)
    return call
