"""Map a telephone number to an organisation, with a line that answers it."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenants.models import Domain
from tenants.services.numbers import NumberError, attach_number


class Command(BaseCommand):
    help = __doc__ or ""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("number", help="in E.164 form, such as +15550100")
        parser.add_argument("--tenant", required=True, help="the organisation's domain")

    def handle(self, *args: Any, **options: Any) -> None:
        domain = Domain.objects.select_related("tenant").filter(domain=options["tenant"].casefold()).first()
        if domain is None:
            raise CommandError(f"No organisation has the domain {options['tenant']}.")
        try:
            attach_number(number=options["number"], tenant=domain.tenant)
        except NumberError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{options['number']} is answered for {domain.tenant.name}.")
