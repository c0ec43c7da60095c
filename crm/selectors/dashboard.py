"""The figures over all contacts, from the running totals (crm/tallies.py): quick whatever their number."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Sum
from django.utils import timezone

from crm.enums import InteractionKind
from crm.models import ContactStatus, Interaction, Tally
from crm.models.setup import crm_settings
from crm.selectors.timeline import TaskCounts, task_counts
from tenants.models import Tenant

WEEKS = 12
DAYS = 30


@dataclass(frozen=True, slots=True)
class Bar:
    label: str
    count: int
    query: str  # the address of the list behind it
    tone: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Forecast:
    currency: str
    total: Decimal | None  # None: nothing has a value yet
    parts: list[tuple[str, str, Decimal, int, Decimal]]  # status, its label, value, probability in percent, expected


@dataclass(frozen=True, slots=True)
class Dashboard:
    contacts: int
    funnel: list[Bar]
    growth: list[Bar]
    kinds: list[Bar]
    since: date  # of what is counted in days
    calls: int
    answered_share: float | None
    tasks: TaskCounts
    recent: list[Interaction]
    forecast: Forecast

    @property
    def is_empty(self) -> bool:
        return not self.contacts


def dashboard(*, tenant: Tenant, now: datetime | None = None) -> Dashboard:
    now = now or timezone.now()
    zone = ZoneInfo(tenant.time_zone)
    today = now.astimezone(zone).date()
    statuses = list(ContactStatus.objects.all())
    standing = {
        row["key"]: (row["count"], row["amount"])
        for row in Tally.objects.filter(metric="contacts").values("key").annotate(count=Sum("count"), amount=Sum("amount"))
    }
    since = datetime.combine(today - timedelta(days=DAYS - 1), time.min, zone)
    kinds = _by_kind(since, now)
    calls, answered = kinds.get(InteractionKind.PHONE_CALL, 0), kinds.pop("answered", 0)
    return Dashboard(
        contacts=sum(count for count, _ in standing.values()),
        funnel=[
            Bar(status.label, standing.get(status.key, (0, 0))[0], f"status={status.key}", status.colour)
            for status in statuses
        ],
        growth=_growth(today, zone),
        kinds=[Bar(kind.label, kinds.get(kind, 0), f"kind={kind}&since={since.date()}") for kind in InteractionKind],
        since=since.date(),
        calls=calls,
        answered_share=answered / calls if calls else None,
        tasks=task_counts(user=None, today=today),
        recent=list(Interaction.objects.filter(contact__deleted_at=None).select_related("contact", "user")[:10]),
        forecast=_forecast(statuses, standing),
    )


def _by_kind(since: datetime, until: datetime) -> dict[str, int]:
    rows = Tally.objects.filter(metric__in=("interactions", "answered"), bucket__gte=since, bucket__lte=until)
    found = {}
    for row in rows.values("metric", "key").annotate(count=Sum("count")):
        found[row["key"] or row["metric"]] = row["count"]
    return found


def _growth(today: date, zone: ZoneInfo) -> list[Bar]:
    """Return the contacts made in each of the last weeks, Monday to Sunday in the tenant's zone."""
    monday = today - timedelta(days=today.weekday())
    first = monday - timedelta(weeks=WEEKS - 1)
    since = datetime.combine(first, time.min, zone).astimezone(UTC)
    weeks: dict[date, int] = defaultdict(int)
    for bucket, count in Tally.objects.filter(metric="created", bucket__gte=since).values_list("bucket", "count"):
        day = bucket.astimezone(zone).date()  # type: ignore[union-attr]
        weeks[day - timedelta(days=day.weekday())] += count
    return [_week(first + timedelta(weeks=n), weeks) for n in range(WEEKS)]


def _week(monday: date, weeks: dict[date, int]) -> Bar:
    query = f"created_from={monday}&created_to={monday + timedelta(days=6)}"
    return Bar(f"{monday.day} {monday:%b}", weeks.get(monday, 0), query, note=f"week of {monday.day} {monday:%B}")


def _forecast(statuses: list[ContactStatus], standing: dict[str, tuple[int, Any]]) -> Forecast:
    """Expected business: what is known of contacts' values, weighed by the probability of their status."""
    parts = []
    for status in statuses:
        value = Decimal(standing.get(status.key, (0, 0))[1] or 0)
        if status.probability and value:
            parts.append((status.key, status.label, value, status.probability, value * status.probability / 100))
    return Forecast(crm_settings().currency, sum((part[4] for part in parts), Decimal(0)) if parts else None, parts)
