from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from agents.catalogue import entries
from agents.services.syncing import sync_catalogue
from tenants.signals import database_prepared


@receiver(database_prepared)
def write_catalogue(**_: Any) -> None:
    sync_catalogue(entries=entries())
