"""What becomes of the sending domains of an organisation that is deleted."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from crm.email.tasks.domains import remove_orphaned_domains
from tenants.celery import HEADER, PUBLIC, publish
from tenants.signals import tenant_deleted


@receiver(tenant_deleted)
def remove_domains(**_: Any) -> None:
    """Now rather than at the next sweep, which would find them too."""
    publish(remove_orphaned_domains, headers={HEADER: PUBLIC})
