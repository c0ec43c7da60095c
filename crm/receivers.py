"""What the CRM does when something happens to a tenant."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from django.core.files.storage import default_storage
from django.dispatch import receiver

from billing.models import BudgetAlert
from billing.signals import budget_reached
from crm import tallies
from crm.hooks.enums import Event
from crm.hooks.services.emitting import emit
from crm.models import Attachment
from crm.services.attachments import read_attachment
from crm.services.setup import create_defaults
from tenants.models import Tenant
from tenants.signals import tenant_created, tenant_deleted, tenant_exporting


@receiver(tenant_created)
def prepare(tenant: Tenant, **_: Any) -> None:
    tallies.install()
    create_defaults()


@receiver(budget_reached)
def tell_budget(alert: BudgetAlert, **_: Any) -> None:
    data = {
        "level": alert.get_level_display().lower(),
        "period": alert.period,
        "begins": alert.begins,
        "call": alert.subject or None,
        "spent": str(alert.spent),
        "limit": str(alert.limit),
        "currency": alert.currency,
    }
    emit(event=Event.BUDGET_REACHED, data=data, key=f"budget:{alert.pk}")


@receiver(tenant_exporting)
def export_attachments(folder: Path, **_: Any) -> None:
    for attachment in Attachment.objects.iterator():
        target = folder / "attachments" / f"{attachment.pk}-{Path(attachment.name).name}"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(read_attachment(attachment))


@receiver(tenant_deleted)
def delete_files(schema: str, **_: Any) -> None:
    shutil.rmtree(default_storage.path(f"{schema}/crm"), ignore_errors=True)
