"""What the pages show: figures are measured, or None."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection
from django.db.models import Avg, Count, Q, QuerySet
from django.db.models.functions import TruncDate
from django.utils import timezone

from agents.collaboration.models import Collaboration
from base.text import to_valid
from billing.enums import Kind
from billing.selectors import PartCost, cost_of_part
from crm.models.setup import crm_settings
from crm.phones import looks_like_number, read_caller
from telephony.enums import OPEN_STATUSES, Direction
from telephony.models import Call, CallEvent, CallMessage
from tenants.models import Tenant

PAGE_SIZE = 30


@dataclass(frozen=True, slots=True)
class Day:
    on: date
    count: int
    answered: int


@dataclass(frozen=True, slots=True)
class Dashboard:
    today: date
    calls_today: int
    answered_share: float | None  # of the calls of the last seven days
    average_length: timedelta | None
    latency_p50_ms: int | None
    latency_p95_ms: int | None
    days: list[Day]
    live: list[Call]
    recent: list[Call]

    @property
    def is_empty(self) -> bool:
        return not self.recent


def dashboard(*, time_zone: str, now: datetime | None = None) -> Dashboard:
    now = now or timezone.now()
    zone = ZoneInfo(time_zone)
    today = now.astimezone(zone).date()
    week = Call.objects.exclude(direction=Direction.BROWSER).filter(started_at__gte=now - timedelta(days=7))
    figures = week.aggregate(
        total=Count("pk"),
        answered=Count("pk", filter=Q(answered_at__isnull=False)),
        length=Avg("duration_s", filter=Q(answered_at__isnull=False, status="completed")),
    )
    p50, p95 = latency_percentiles(since=now - timedelta(days=7))
    days = calls_by_day(zone=zone, today=today, days=14)
    return Dashboard(
        today=today,
        calls_today=days[-1].count,
        answered_share=figures["answered"] / figures["total"] if figures["total"] else None,
        average_length=None if figures["length"] is None else timedelta(seconds=round(figures["length"])),
        latency_p50_ms=p50,
        latency_p95_ms=p95,
        days=days,
        live=list(live_calls()),
        recent=list(Call.objects.select_related("line", "contact")[:8]),
    )


def live_calls() -> QuerySet[Call]:
    return Call.objects.open().select_related("line", "contact").order_by("started_at")  # type: ignore[no-any-return]


def calls_by_day(*, zone: ZoneInfo, today: date, days: int) -> list[Day]:
    """Return the last days, oldest first, days without calls included."""
    first = today - timedelta(days=days - 1)
    since = datetime.combine(first, time.min, zone)
    rows = (
        Call.objects.exclude(direction=Direction.BROWSER)
        .filter(started_at__gte=since)
        .order_by()
        .annotate(on=TruncDate("started_at", tzinfo=zone))
        .values("on")
        .annotate(count=Count("pk"), answered=Count("pk", filter=Q(answered_at__isnull=False)))
    )
    found = {row["on"]: Day(row["on"], row["count"], row["answered"]) for row in rows}
    return [found.get(first + timedelta(days=n), Day(first + timedelta(days=n), 0, 0)) for n in range(days)]


def latency_percentiles(*, since: datetime) -> tuple[int | None, int | None]:
    """Return the median and the 95th percentile of the callers' wait for an answer, in milliseconds."""
    table, calls = CallMessage._meta.db_table, Call._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY (latency->>'total')::int),"
            "       percentile_cont(0.95) WITHIN GROUP (ORDER BY (latency->>'total')::int)"
            f" FROM {table} WHERE spoken_at >= %s AND latency ? 'total'"
            # A test call is a call to nobody, here as in every other figure of the page.
            f" AND NOT EXISTS (SELECT 1 FROM {calls} c WHERE c.id = call_id AND c.direction = %s)",
            [since, Direction.BROWSER],
        )
        row = cursor.fetchone()
    p50, p95 = row or (None, None)
    return (None if p50 is None else round(p50), None if p95 is None else round(p95))


@dataclass(frozen=True, slots=True)
class CallFilter:
    query: str = ""
    status: str = ""
    line_id: int | None = None
    ended_reason: str = ""
    first_day: date | None = None
    last_day: date | None = None


@dataclass(frozen=True, slots=True)
class CallPage:
    calls: Sequence[Call]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Consultation:
    """One time that specialists joined a call, and what the ledger says it cost."""

    record: Collaboration
    cost: PartCost


def consultations_of(call: Call, tenant: Tenant) -> list[Consultation]:
    records = Collaboration.objects.filter(call_id=call.pk)
    of_call = partial(cost_of_part, tenant=tenant, kind=Kind.CALL, subject=str(call.pk))
    return [Consultation(record, of_call(part=record.pk.hex)) for record in records]


def filter_calls(chosen: CallFilter, *, zone: ZoneInfo) -> QuerySet[Call]:
    calls: Any = Call.objects.select_related("line", "contact")
    if chosen.query:
        by_number = looks_like_number(chosen.query)
        calls = calls.with_number(written_number(chosen.query)) if by_number else calls.with_words(chosen.query)
    if chosen.status == "live":
        calls = calls.filter(status__in=OPEN_STATUSES)
    elif chosen.status == "test":
        calls = calls.filter(direction=Direction.BROWSER)
    elif chosen.status:
        calls = calls.filter(status=chosen.status)
    if chosen.line_id:
        calls = calls.filter(line_id=chosen.line_id)
    if chosen.ended_reason:
        calls = calls.filter(ended_reason=chosen.ended_reason)
    if chosen.first_day:
        calls = calls.filter(started_at__gte=datetime.combine(chosen.first_day, time.min, zone))
    if chosen.last_day:
        calls = calls.filter(started_at__lte=datetime.combine(chosen.last_day, time.max, zone))
    return calls  # type: ignore[no-any-return]


def written_number(text: str) -> str:
    """Return a number as people write it in E.164 form, or a SIP address; what is neither stays as it is.

    A number without a country is one of the organisation's own.
    """
    caller = read_caller(to_valid(text), crm_settings().phone_region)
    if caller.number or caller.address:
        return caller.number or caller.address
    digits = "".join(character for character in text if character.isdigit())
    return "+" + digits.removeprefix("00") if looks_like_number(text) else text.strip()


def page_of_calls(calls: QuerySet[Call], cursor: str | None) -> CallPage:
    """Return the page behind a cursor. Pages are cut by key, so new calls neither repeat nor hide others."""
    if position := _read_cursor(cursor):
        started_at, pk = position
        calls = calls.filter(Q(started_at__lt=started_at) | Q(started_at=started_at, pk__lt=pk))
    found = list(calls.order_by("-started_at", "-id")[: PAGE_SIZE + 1])
    more = len(found) > PAGE_SIZE
    page = found[:PAGE_SIZE]
    return CallPage(page, _write_cursor(page[-1]) if more else None)


def _write_cursor(call: Call) -> str:
    return base64.urlsafe_b64encode(f"{call.started_at.isoformat()}|{call.pk}".encode()).decode()


def _read_cursor(cursor: str | None) -> tuple[datetime, UUID] | None:
    """A cursor somebody has tampered with is the first page."""
    if not cursor:
        return None
    try:
        started_at, _, pk = base64.urlsafe_b64decode(cursor).decode().partition("|")
        return datetime.fromisoformat(started_at), UUID(pk)
    except (ValueError, binascii.Error):
        return None


def transcript(call: Call) -> list[CallMessage]:
    return list(call.messages.order_by("sequence"))


def events(call: Call) -> list[CallEvent]:
    return list(call.events.order_by("at", "sequence"))
