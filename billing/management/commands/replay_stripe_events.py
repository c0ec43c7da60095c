from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from billing.services.events import replay
from billing.stripe.client import StripeError
from tenants.context import in_public


class Command(BaseCommand):
    help = "Fetch what Stripe has sent in the last hours, store what never arrived, and apply it and what failed before."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--hours", type=int, default=72, help="how far back; Stripe keeps thirty days")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with in_public():
                new = replay(since=timezone.now() - timedelta(hours=options["hours"]))
        except StripeError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{new} event{'' if new == 1 else 's'} had not arrived.")
