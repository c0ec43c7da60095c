"""Every schema knows every migration, and holds the tables of its own kind."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.db import connection, router
from django.db.migrations.loader import MigrationLoader

from tenants.context import entered, in_public
from tenants.models import TEMPLATE_SCHEMA


def recorded(schema: str) -> set[tuple[str, str]]:
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT app, name FROM "{schema}".django_migrations')
        return set(cursor.fetchall())


def columns(schema: str) -> dict[str, set[str]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = %s", [schema])
        found: dict[str, set[str]] = {}
        for table, column in cursor.fetchall():
            found.setdefault(table, set()).add(column)
    return found


@pytest.mark.django_db
@pytest.mark.parametrize("schema", ["public", TEMPLATE_SCHEMA])
def test_every_migration_is_recorded(schema):
    assert recorded(schema) >= set(MigrationLoader(None).disk_migrations)


def test_each_schema_holds_its_own_tables_with_every_column(alice):
    with entered(alice):
        theirs = {model for model in apps.get_models() if router.allow_migrate("default", model._meta.app_label)}
    with in_public():
        shared = {model for model in apps.get_models() if router.allow_migrate("default", model._meta.app_label)}
    assert theirs
    assert not theirs & shared
    for schema, models in ((alice.schema_name, theirs), (TEMPLATE_SCHEMA, theirs), ("public", shared)):
        held = columns(schema)
        for model in models:
            wanted = {field.column for field in model._meta.local_concrete_fields}
            assert wanted <= held.get(model._meta.db_table, set()), (schema, model)
    assert not {model._meta.db_table for model in theirs} & set(columns("public"))
