from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from crm.imports import tasks
from crm.imports.models import ContactImport
from crm.imports.services import sweeping
from crm.imports.services.undoing import start_undo
from crm.imports.tests.factories import check, make_import, people, start
from crm.models import Contact
from tenants.celery import HEADER
from tenants.context import entered
from tenants.models import Tenant


def test_tasks_work_in_the_tenant_that_published_them(alice: Tenant, bob: Tenant) -> None:
    with entered(bob):
        theirs = start(make_import(people(2, start=10)))
    with entered(alice):
        ours = start(make_import(people(1)))
        assert ours.pk != theirs.pk or Contact.objects.count() == 0

        tasks.run_import.apply(kwargs={"import_id": ours.pk}).get()
        assert list(Contact.objects.values_list("contact_name", flat=True)) == ["Person 1"]
    with entered(bob):
        assert not Contact.objects.exists()


def test_check_and_undo_are_tasks_too(in_alice: Tenant) -> None:
    record = start(make_import(people(2)))
    tasks.run_import.apply(kwargs={"import_id": record.pk}).get()
    record.refresh_from_db()
    start_undo(record=record)
    tasks.undo_import.apply(kwargs={"import_id": record.pk}).get()
    assert not Contact.objects.live().exists()

    again = check(make_import(people(1)))
    ContactImport.objects.filter(pk=again.pk).update(state="checking")
    tasks.check_import.apply(kwargs={"import_id": again.pk}).get()
    again.refresh_from_db()
    assert again.state == "ready"


def test_silent_imports_of_every_tenant_are_queued_again(
    alice: Tenant, bob: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    queued: list[Any] = []
    monkeypatch.setattr(sweeping, "hand_out", lambda record: queued.append((record.name, record.state)))
    for tenant in (alice, bob):
        with entered(tenant):
            start(make_import(people(1)))
            make_import(people(1))
            ContactImport.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=1))

    tasks.sweep_silent.apply(headers={HEADER: "public"}).get()

    assert queued == [("contacts.csv", "running")] * 2


def test_files_of_every_tenant_are_forgotten(alice: Tenant, bob: Tenant) -> None:
    for tenant in (alice, bob):
        with entered(tenant):
            make_import(people(1))
            ContactImport.objects.update(uploaded_at=timezone.now() - timedelta(days=31))

    tasks.sweep_expired.apply(headers={HEADER: "public"}).get()

    for tenant in (alice, bob):
        with entered(tenant):
            assert list(ContactImport.objects.values_list("path", flat=True)) == [""]


def test_a_task_for_an_import_that_is_gone_does_nothing(in_alice: Tenant) -> None:
    for task in (tasks.check_import, tasks.run_import, tasks.undo_import):
        task.apply(kwargs={"import_id": 12345}).get()


def test_slices_end_long_before_a_task_is_killed() -> None:
    from crm.imports.services.running import SLICE_S

    assert settings.CELERY_TASK_TIME_LIMIT >= 2 * SLICE_S
