"""A new organisation: cloned from the prepared schema, against running every migration on an empty one."""

from __future__ import annotations

import time
from statistics import median

from bench.product import Product
from bench.report import Result

ROUNDS = 5


def run(product: Product) -> list[Result]:
    cloned, migrated = [], []
    with product.worker_paused():
        for number in range(ROUNDS):
            cloned.append(_clone(number))
            migrated.append(_migrate(number))
    return [
        Result(
            "tenant", "create an organisation (clone)", median(cloned), "s", note=f"{min(cloned):.2f}–{max(cloned):.2f}"
        ),
        Result(
            "tenant", "migrate a new schema instead", median(migrated), "s", note=f"{min(migrated):.2f}–{max(migrated):.2f}"
        ),
        Result("tenant", "clone, as a share of migrating", median(cloned) / median(migrated), "", 1.0),
    ]


def _clone(number: int) -> float:
    from tenants.services.tenants import create_tenant

    begun = time.perf_counter()
    # Without a password: hashing one takes a third of a second by design, and migrating does not do it.
    create_tenant(name="Cloned", domain=f"cloned-{number}.localhost", admin_email="bench@bench.localhost")
    return time.perf_counter() - begun


def _migrate(number: int) -> float:
    from django.core.management import call_command
    from django.db import connection

    from tenants.context import in_public
    from tenants.models import Tenant

    schema = f"bench_migrated_{number}"
    with in_public():
        with connection.cursor() as cursor:
            cursor.execute(f'CREATE SCHEMA "{schema}"')
        Tenant.objects.create(schema_name=schema, name="Migrated", is_active=False)
        begun = time.perf_counter()
        call_command("migrate_schemas", schema_name=schema, interactive=False, verbosity=0)
        return time.perf_counter() - begun
