"""Tasks run where they were published, or not at all."""

import pytest
from django.db import connection

from tenants.celery import HEADER
from tenants.context import NoTenantError, entered, in_public
from thanos.celery import app

seen: list[str] = []


@app.task(name="tests.where")
def where() -> None:
    seen.append(connection.schema_name)


@app.task(name="tests.fails")
def fails() -> None:
    seen.append(connection.schema_name)
    raise ValueError


@pytest.fixture(autouse=True)
def _empty():
    seen.clear()


def test_a_task_runs_in_the_tenant_it_was_published_from(alice, bob):
    with entered(alice):
        where.apply()
    with entered(bob):
        where.apply()
    where.apply()

    assert seen == [alice.schema_name, bob.schema_name, "public"]


def test_an_explicit_header_wins(alice):
    with in_public():
        where.apply(headers={HEADER: alice.schema_name})

    assert seen == [alice.schema_name]
    assert connection.schema_name == "public"


def test_a_failing_task_leaves_the_tenant_too(alice):
    with in_public():
        fails.apply(headers={HEADER: alice.schema_name})

    assert seen == [alice.schema_name]
    assert connection.schema_name == "public"


def test_a_task_for_a_tenant_that_is_gone_does_not_run(db):
    result = where.apply(headers={HEADER: "t_gone"})

    assert isinstance(result.result, NoTenantError)
    assert seen == []


def test_a_message_without_a_tenant_does_not_run(db):
    result = where.apply(headers={HEADER: ""})

    assert isinstance(result.result, NoTenantError)
    assert seen == []


def test_publishing_stamps_the_message(alice, monkeypatch):
    published = []
    monkeypatch.setattr(
        "celery.app.task.Task.apply_async", lambda self, *a, **options: published.append(options["headers"])
    )

    with entered(alice):
        where.delay()

    assert [headers[HEADER] for headers in published] == [alice.schema_name]
