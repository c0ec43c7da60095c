from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from billing import tallies
from tenants.context import in_public


class Command(BaseCommand):
    help = "Prove that the sums that pages show are the ledger's: adds the whole ledger up and compares."

    def handle(self, *args: Any, **options: Any) -> None:
        with in_public():
            found = tallies.differences()
        for tenant_id, day, about in found[:100]:
            self.stderr.write(f"organisation {tenant_id}, {day}: {about}")
        if found:
            raise CommandError(f"{len(found)} sums are not the ledger's.")
        self.stdout.write("Every sum is the ledger's.")
