"""Make transcripts of older versions findable in every script. Safe to stop, and to repeat."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from telephony.services.reindexing import reindex_transcripts
from tenants.context import entered, in_public
from tenants.models import Tenant


class Command(BaseCommand):
    help = __doc__ or ""

    def handle(self, *args: Any, **options: Any) -> None:
        with in_public():
            tenants = list(Tenant.objects.real())
        for tenant in tenants:
            with entered(tenant):
                count = reindex_transcripts()
            self.stdout.write(f"{tenant.schema_name}: {count} sentences indexed again.")
