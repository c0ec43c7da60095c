"""Migrations of one schema, without drawing up models of what the schema does not hold.

Every schema records every migration, but most are for the other kind: tenants' tables are not in the public schema, and
people are not in a tenant's. Django keeps all models drawn up and draws them anew after each operation, which is nine
tenths of the time a new installation takes. A migration that the router keeps out of this schema is recorded and
remembered, and nothing is drawn. Tenants' tables refer to shared ones and never the other way round, so what is passed
over goes first in a tenant's schema, and last in the public one. `TENANT_BASE_MIGRATE_COMMAND` names the command here.
"""

from __future__ import annotations

from typing import Any

from django.core.management.commands import migrate
from django.db import router
from django.db.migrations.executor import MigrationExecutor

from tenants.context import current_schema


class SchemaExecutor(MigrationExecutor):
    def _migrate_all_forwards(self, state: Any, plan: Any, full_plan: Any, fake: bool, fake_initial: bool) -> Any:
        waiting = {migration for migration, _ in plan}
        ours: list[Any] = []
        others: list[Any] = []
        for migration, _ in full_plan:
            if migration in waiting:
                is_ours = router.allow_migrate(self.connection.alias, migration.app_label)
                (ours if is_ours else others).append(migration)
        is_public = current_schema() is None
        for migration in [] if is_public else others:
            state = self._pass_over(state, migration)
        for migration in ours:
            state.apps  # noqa: B018  (drawn up before the operations, as Django does)
            state = self.apply_migration(state, migration, fake=fake, fake_initial=fake_initial)
        for migration in others if is_public else []:
            state = self._pass_over(state, migration)
        return state

    def _pass_over(self, state: Any, migration: Any) -> Any:
        if self.progress_callback:
            self.progress_callback("apply_start", migration, True)
        state.__dict__.pop("apps", None)
        state = migration.mutate_state(state, preserve=False)
        self.record_migration(migration)  # type: ignore[call-arg]
        if self.progress_callback:
            self.progress_callback("apply_success", migration, True)
        return state


class Command(migrate.Command):
    """Django's own, with the executor above."""

    def handle(self, *args: Any, **options: Any) -> Any:
        original = vars(migrate)["MigrationExecutor"]
        setattr(migrate, "MigrationExecutor", SchemaExecutor)  # noqa: B010
        try:
            return super().handle(*args, **options)
        finally:
            setattr(migrate, "MigrationExecutor", original)  # noqa: B010
