"""Exporting every contact as CSV, against COPY of the same columns to the same place, which is nowhere.

COPY leaves encrypted what is encrypted, where an export opens three values of every contact.
`BENCH_EXPORT` makes it smaller, for a quick look.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from bench.children import FLAT_MB, Done, Meter, in_child
from bench.cpu import on_a_core_of_its_own
from bench.population import populate
from bench.product import Product
from bench.report import Result

if TYPE_CHECKING:
    from tenants.models import Tenant

CONTACTS = int(os.environ.get("BENCH_EXPORT", "1000000"))
FEW = CONTACTS // 10
ROUNDS = 2


def run(product: Product) -> list[Result]:
    with product.worker_paused(), on_a_core_of_its_own():
        tenant = _make_tenant()
        schema = str(tenant.schema_name)
        few = in_child(carry_out, schema, str(FEW))
        ours, copied = [], []
        for _ in range(ROUNDS):
            ours.append(in_child(carry_out, schema, str(CONTACTS)))
            copied.append(_copy(tenant))
    best = max(ours, key=lambda done: done.rate("export"))
    return _results(few, best, min(copied))


def _results(few: Done, best: Done, copy_s: float) -> list[Result]:
    rate, copy_rate = best.rate("export"), best.rows / copy_s
    return [
        Result("exports", f"{best.rows:,} contacts as CSV", rate, "rows/s", note=f"best of {ROUNDS}"),
        Result("exports", "COPY of the same columns", copy_rate, "rows/s", note=f"best of {ROUNDS}"),
        Result("exports", "export, as a share of COPY", rate / copy_rate, ""),
        Result("exports", f"memory at its peak, {few.rows:,} contacts", few.grown_mb, "MB", note="over an idle process"),
        Result("exports", f"memory at its peak, {best.rows:,} contacts", best.grown_mb, "MB"),
        Result("exports", "memory for ten times the contacts", best.grown_mb - few.grown_mb, "MB more", FLAT_MB),
    ]


def _make_tenant() -> Tenant:
    from tenants.models import User
    from tenants.services.tenants import create_tenant

    tenant = create_tenant(name="Bench", domain="exported.localhost", admin_email="bench@bench.localhost")
    populate(tenant=tenant, people=[User.objects.get(email="bench@bench.localhost")], count=CONTACTS)
    return tenant


def carry_out(meter: Meter, schema: str, last: str) -> int:
    """Export the contacts up to an id, in a process of its own."""
    from crm.imports.exporting import export_csv, ids_of
    from crm.models import Contact
    from tenants.context import entered_schema

    with entered_schema(schema), meter.timed("export"):
        ids = ids_of(Contact.objects.live().filter(pk__lte=int(last)))
        for block in export_csv(ids):
            assert block
        return len(ids)


def _copy(tenant: Tenant) -> float:
    """Return how many seconds PostgreSQL takes to hand over the same columns."""
    from django.db import connection

    from crm.contactfields import FIELDS
    from tenants.context import entered

    names = ["id", *(f"{key}_at" if key.startswith("do_not_") else key for key in FIELDS)]
    names += ["custom_fields", "owner_id", "score", "created_at", "updated_at"]
    chosen = f"SELECT {', '.join(names)} FROM crm_contact WHERE deleted_at IS NULL ORDER BY id"
    with entered(tenant), connection.cursor() as cursor:
        begun = time.perf_counter()
        with cursor.copy(f"COPY ({chosen}) TO STDOUT (FORMAT csv)") as out:
            for line in out:
                assert line
        return time.perf_counter() - begun
