"""Make an organisation with its first owner, and print its schema."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants.services.database import is_prepared, prepare_database
from tenants.services.tenants import TenantError, create_tenant


class Command(BaseCommand):
    help = __doc__ or ""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--name", required=True)
        parser.add_argument("--domain", required=True)
        parser.add_argument("--admin-email", required=True)
        parser.add_argument("--admin-password", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        if not is_prepared():
            prepare_database()
        try:
            tenant = create_tenant(
                name=options["name"],
                domain=options["domain"],
                admin_email=options["admin_email"],
                admin_password=options["admin_password"],
            )
        except TenantError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(tenant.schema_name)
