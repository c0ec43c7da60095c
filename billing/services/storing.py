"""What is kept costs something every day: written down once a day."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.utils import timezone

from billing.enums import Kind, Leg, Source, Unit
from billing.periods import day_of
from billing.services.ledger import record_usage
from billing.storage import stored_bytes
from billing.usage import Usage
from tenants.models import Tenant

GIGABYTE = 1_000_000_000
PROVIDER = "installation"


def meter_storage(*, tenant: Tenant, now: datetime | None = None) -> set[str]:
    """Write what an organisation has stored to the ledger, once for each of its days. Must run inside the tenant."""
    now = now or timezone.now()
    day = day_of(now, tenant.time_zone)
    usages = [
        Usage(
            key=f"storage:{name}:{day}",
            provider=PROVIDER,
            item=f"storage:{name}",
            unit=Unit.GIGABYTE_DAY,
            quantity=(Decimal(size) / GIGABYTE).quantize(Decimal("0.000001")),
            leg=Leg.STORAGE,
            source=Source.MEASURED,
            at=now,
            kind=Kind.STORAGE,
            subject=name,
        )
        for name, size in stored_bytes().items()
        if size
    ]
    return record_usage(tenant=tenant, usages=usages)
