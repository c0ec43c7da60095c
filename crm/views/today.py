from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

from django.utils import timezone

from tenants.models import Tenant


def today_of(tenant: Tenant) -> date:
    return timezone.now().astimezone(ZoneInfo(tenant.time_zone)).date()
