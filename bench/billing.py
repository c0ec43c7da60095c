"""What money costs in time: admission with and without a budget, writing the ledger, and a month's report.

Admissions take turns, one without a limit and one with, on the same path in the same process; what is compared is the
same call but for the budget. The ledger's rows are spread over a month as calls are: 28 days, nine things that are paid
for, twelve lines and seven agents, each with each.
"""

from __future__ import annotations

import os
import time
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from bench.cpu import on_a_core_of_its_own
from bench.product import Product
from bench.report import Result, percentile

if TYPE_CHECKING:
    from billing.usage import Usage
    from tenants.models import Tenant

ROWS = int(os.environ.get("BENCH_LEDGER_ROWS", "10000000"))
ADMISSIONS = 400
WRITES = 400
BATCH = 3  # entries of an ordinary call
BULK = 500
REPORTS = 200
CHUNK = 500_000


def run(product: Product) -> list[Result]:
    from billing import tallies
    from billing.models import Budget, Tally
    from billing.services.rates import set_rate
    from tenants.context import entered
    from tenants.services.tenants import create_tenant

    tenant = create_tenant(name="Bench", domain="billing.localhost", admin_email="billing@bench.localhost")
    begins = datetime(2020, 1, 1, tzinfo=UTC)
    for provider, item in (("twilio", "voice-inbound"), ("twilio", "media-stream"), ("deepgram", "voice-agent")):
        set_rate(provider=provider, item=item, unit="minute", price=Decimal("0.01"), currency="USD", valid_from=begins)
    with product.worker_paused(), on_a_core_of_its_own(), entered(tenant):
        single, bulk = _write(tenant)
        filled = _fill(tenant)
        rows_before = Tally.objects.count()
        tallies.compact()
        rows_after = Tally.objects.count()
        _rest()
        reports = _report(tenant)
        Budget.objects.filter(tenant=tenant).update(monthly=Decimal(10_000_000))
        without, with_budget, queries = _admit(tenant)
    added = [b - a for a, b in zip(sorted(without), sorted(with_budget), strict=True)]
    return [
        Result("billing", "admission without a budget, p95", percentile(without, 0.95), "ms"),
        Result("billing", "admission with a budget, p95", percentile(with_budget, 0.95), "ms"),
        Result("billing", "what the budget adds, p95 of one to p95 of the other", percentile(added, 0.95), "ms", 3.0),
        Result("billing", "queries the budget adds", queries, "", 2),
        Result("billing", "entries written, three at a time", single, "a second"),
        Result("billing", f"entries written, {BULK} at a time", bulk, "a second"),
        Result("billing", f"entries written, {CHUNK:,} at a time", filled, "a second", note=f"{ROWS:,} rows in all"),
        Result("billing", "sums after folding", rows_after, "rows", note=f"{rows_before:,} before"),
        Result("billing", f"a month's report over {ROWS:,} rows, p50", percentile(reports, 0.5), "ms"),
        Result("billing", f"a month's report over {ROWS:,} rows, p95", percentile(reports, 0.95), "ms", 200.0),
    ]


def _write(tenant: Tenant) -> tuple[float, float]:
    from billing.services.ledger import record_usage

    begun = time.perf_counter()
    for _ in range(WRITES):
        record_usage(tenant=tenant, usages=[_usage() for _ in range(BATCH)])
    single = WRITES * BATCH / (time.perf_counter() - begun)
    begun = time.perf_counter()
    for _ in range(20):
        record_usage(tenant=tenant, usages=[_usage() for _ in range(BULK)])
    return single, 20 * BULK / (time.perf_counter() - begun)


def _usage() -> Usage:
    from billing.enums import Kind, Leg, Source, Unit
    from billing.usage import Usage

    return Usage(
        key=uuid.uuid4().hex,
        provider="twilio",
        item="voice-inbound",
        unit=Unit.MINUTE,
        quantity=Decimal(2),
        leg=Leg.CARRIER,
        source=Source.MEASURED,
        at=datetime.now(UTC),
        kind=Kind.CALL,
        subject=uuid.uuid4().hex,
    )


def _fill(tenant: Tenant) -> float:
    """Write the rest of the rows straight into the ledger, its triggers at work as always."""
    from django.db import connection

    first = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    begun = time.perf_counter()
    with connection.cursor() as cursor:
        for start in range(0, ROWS, CHUNK):
            count = min(CHUNK, ROWS - start)
            cursor.execute(
                """
                INSERT INTO billing_ledgerentry (tenant_id, key, at, day, kind, subject, leg, provider, item, unit,
                  quantity, currency, amount, source, line_id, agent_id, contact_id, campaign, unknown, written_at)
                SELECT %s, 'bench:' || n, %s + n %% 28 * interval '1 day', (%s + n %% 28 * interval '1 day')::date, 'call',
                  'c' || n / 3, (ARRAY['carrier', 'agent', 'thinking'])[1 + n %% 3],
                  (ARRAY['twilio', 'deepgram', 'openai'])[1 + n %% 3], 'item-' || n %% 9, 'minute', 1.5, 'USD', 0.0123,
                  'measured', n / 252 %% 12, n / 3024 %% 7, n %% 5000, '', 0, now()
                FROM generate_series(%s::bigint, %s::bigint) n
                """,
                [tenant.pk, first, first, start, start + count - 1],
            )
    return ROWS / (time.perf_counter() - begun)


def _rest() -> None:
    """Do now what the database does by itself in the minutes after such a load."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE) billing_tally")
        cursor.execute("VACUUM (ANALYZE) billing_daytotal")
        cursor.execute("VACUUM (ANALYZE) billing_ledgerentry")
        cursor.execute("CHECKPOINT")


def _report(tenant: Tenant) -> list[float]:
    from billing.selectors import month_report

    today, spent = datetime.now(UTC).date(), []
    for _ in range(REPORTS):
        begun = time.perf_counter()
        found = month_report(tenant=tenant, day=today, currency="USD")
        spent.append((time.perf_counter() - begun) * 1000)
        assert found.entries >= ROWS
    return spent


def _admit(tenant: Tenant) -> tuple[list[float], list[float], int]:
    """Return milliseconds of reserving without and with limits, and how many queries that asked."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from billing.models import Budget
    from billing.services.reserving import release, reserve

    free, limited = Budget(tenant=tenant, currency="USD"), Budget.objects.get(tenant=tenant)
    without: list[float] = []
    with_budget: list[float] = []
    for number in range(ADMISSIONS):
        for budget, into in ((free, without), (limited, with_budget)):
            begun = time.perf_counter()
            admitted = reserve(tenant=tenant, budget=budget, subject=f"CA{number}", amount=Decimal("0.10"))
            into.append((time.perf_counter() - begun) * 1000)
            assert admitted.admitted
        if number >= 50:  # so many calls run at once
            release(tenant=tenant, subject=f"CA{number - 50}")
    with CaptureQueriesContext(connection) as captured:
        reserve(tenant=tenant, budget=limited, subject="CAlast", amount=Decimal("0.10"))
    noise = ("SET search_path", "SAVEPOINT", "RELEASE", "BEGIN", "COMMIT")
    return without, with_budget, sum(not query["sql"].startswith(noise) for query in captured)
