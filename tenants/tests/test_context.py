"""Nobody reads another tenant's rows, whatever runs at the same time."""

from __future__ import annotations

import asyncio
import threading

import pytest
from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from django.db import ProgrammingError, connection, transaction
from django_tenants.utils import tenant_context

from telephony.models import Call, Line
from telephony.tests.factories import make_call
from tenants.context import (
    NoTenantError,
    current_schema,
    current_tenant,
    entered,
    entered_schema,
    find_tenant,
    in_public,
    in_tenant,
)
from tenants.models import TEMPLATE_SCHEMA


def test_a_query_for_tenant_data_outside_a_tenant_raises(db):
    with pytest.raises(ProgrammingError), transaction.atomic():
        Call.objects.count()


def test_entering_shows_the_tenants_rows_and_leaving_takes_them_away(alice, bob):
    with entered(alice):
        make_call()
        with entered(bob):
            assert Call.objects.count() == 0
            with in_public():
                assert current_schema() is None
        assert Call.objects.count() == 1
        assert current_tenant() == alice
    assert current_schema() is None


def test_leaving_after_an_error_leaves_too(alice):
    with pytest.raises(ValueError), entered(alice):
        raise ValueError
    assert current_schema() is None


@pytest.mark.parametrize("schema", ["t_unknown", "public", TEMPLATE_SCHEMA, "", "alice; drop"])
def test_what_is_no_tenant_cannot_be_entered(db, schema):
    with pytest.raises(NoTenantError), entered_schema(schema):
        pass


def test_nobody_is_current_outside(db):
    with pytest.raises(NoTenantError):
        current_tenant()


def test_a_bare_thread_starts_outside(in_alice):
    seen = []
    thread = threading.Thread(target=lambda: seen.append(connection.schema_name))
    thread.start()
    thread.join()

    assert seen == ["public"]


async def test_a_task_made_inside_stays_inside_and_does_not_change_the_maker(alice, bob):
    async def schema_seen():
        await asyncio.sleep(0)
        return await sync_to_async(lambda: connection.schema_name)()

    with entered(alice):
        task = asyncio.create_task(schema_seen())
        with entered(bob):
            assert await schema_seen() == bob.schema_name
        assert await task == alice.schema_name
        assert current_schema() == alice.schema_name


async def test_rolling_back_does_not_change_the_tenant(alice, bob):
    def roll_back():
        with entered(alice), pytest.raises(ZeroDivisionError), transaction.atomic():
            with entered(bob):
                Line.objects.count()
            raise ZeroDivisionError
        with entered(alice):
            return list(Line.objects.values_list("phone_number", flat=True).exclude(phone_number=None))

    assert await database_sync_to_async(roll_back)() == ["+15550100"]


def test_in_tenant_runs_synchronous_code_inside(alice):
    from asgiref.sync import async_to_sync

    def whose() -> str:
        return connection.schema_name

    assert async_to_sync(in_tenant)(alice, whose) == alice.schema_name
    assert current_schema() is None


async def _one(tenants, number: int, mine: set[str]) -> int:
    """Enter a tenant again and again and count rows that are not its own."""
    wrong = 0
    for turn in range(5):
        tenant = tenants[(number + turn) % len(tenants)]
        with entered(tenant):
            await asyncio.sleep(0)
            if turn % 2:
                names = [line.name async for line in Line.objects.all()]
            else:
                names = await sync_to_async(lambda: list(Line.objects.values_list("name", flat=True)))()
            wrong += any(name != f"only {tenant.schema_name}" for name in names) or not names
    return wrong


def test_two_hundred_coroutines_over_ten_tenants_never_read_anothers_rows(alice):
    """Ten schemas with a row each that names its owner, read by all coroutines crosswise."""
    from asgiref.sync import async_to_sync

    from tenants.models import Tenant

    tenants = []
    for number in range(10):
        tenant = Tenant.objects.create(schema_name=f"t_stress{number}", name=f"Stress {number}")
        table, his = f"{tenant.schema_name}.telephony_line", f"{alice.schema_name}.telephony_line"
        with connection.cursor() as cursor:  # one table is enough to be wrong about, and made at once
            cursor.execute(f"CREATE SCHEMA {tenant.schema_name}")
            cursor.execute(f"CREATE TABLE {table} AS SELECT * FROM {his} LIMIT 1")
        with entered(tenant):
            assert Line.objects.update(name=f"only {tenant.schema_name}") == 1
        tenants.append(tenant)

    async def all_of_them() -> list[int]:
        return await asyncio.gather(*(_one(tenants, number, set()) for number in range(200)))

    assert sum(async_to_sync(all_of_them)()) == 0


def test_upstreams_own_context_manager_is_safe_too(alice, bob):
    with tenant_context(alice), tenant_context(bob):
        assert current_schema() == bob.schema_name
    assert current_schema() is None


def test_find_tenant_finds_by_schema(alice):
    assert find_tenant(alice.schema_name) == alice
