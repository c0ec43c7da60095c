"""What billing asks of calls: how many were answered, what lines are called, what recordings take up."""

from __future__ import annotations

from datetime import date, datetime, time
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Sum

from billing import counting, naming, storage
from billing.naming import Name
from telephony.enums import Direction, RecordingStatus
from telephony.models import Call, Line, Recording
from tenants.context import current_tenant


def answered(first: date, end: date) -> int:
    zone = ZoneInfo(current_tenant().time_zone)
    begin, until = (datetime.combine(day, time(), zone) for day in (first, end))
    calls = Call.objects.exclude(direction=Direction.BROWSER).filter(answered_at__isnull=False)
    return int(calls.filter(started_at__gte=begin, started_at__lt=until).count())


def lines(ids: list[str]) -> dict[str, Name]:
    return {str(line.pk): Name(line.name, line.get_absolute_url()) for line in Line.objects.filter(pk__in=ids)}


def calls(ids: list[str]) -> dict[str, Name]:
    found = Call.objects.filter(pk__in=[one for one in ids if _is_uuid(one)])
    return {str(call.pk): Name("Call", call.get_absolute_url()) for call in found}


def _is_uuid(text: str) -> bool:
    try:
        return bool(UUID(text))
    except ValueError:
        return False


def recorded_bytes() -> int:
    stored = Recording.objects.filter(status=RecordingStatus.STORED)
    return int(stored.aggregate(sum=Sum("size_bytes"))["sum"] or 0)


counting.register("answered", answered)
naming.register("line", lines)
naming.register("call", calls)
storage.register("recordings", recorded_bytes)
